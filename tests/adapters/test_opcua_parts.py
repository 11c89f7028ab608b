"""The parts of the OPC UA adapter that need no server: settings, users, trust, results, queries, states, the page."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from adapters_support import eventually, ipc_settings, journaled, roll_drafts
from hypothesis import given
from hypothesis import strategies as st
from opcua_support import CLIENT_URI, PASSWORD, QUICK_HASH, Mill, identity, prepare, status, stop_request
from pydantic import ValidationError

from glass_edge.adapters import opcua_users
from glass_edge.adapters.opcua_build import NODESET
from glass_edge.adapters.opcua_certificates import read_certificate, time_complaint
from glass_edge.adapters.opcua_events import occurrences
from glass_edge.adapters.opcua_queries import ResultQuery, find_recipes, find_results
from glass_edge.adapters.opcua_reference import page
from glass_edge.adapters.opcua_results import Recipe, ResultState, ResultStore, RollResult, result_of
from glass_edge.adapters.opcua_states import machine_states, transition
from glass_edge.adapters.opcua_trust import CertificateRefusedError, Fault, TrustList
from glass_edge.adapters.opcua_users import Users, add_user, remove_user
from glass_edge.adapters.roll_files import RollSummary
from glass_edge.adapters.station_view import first_view
from glass_edge.cli.main import run
from glass_edge.config.adapter_opcua import OpcuaSettings, load_opcua_adapter
from glass_edge.config.events import Role
from glass_edge.config.station import load_station
from glass_edge.errors import InputError
from glass_edge.events.payloads import EngineActivated, StationState
from glass_edge.events.publisher import Publisher

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
UA = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua_users, "_COST", QUICK_HASH)


# settings


def test_the_sample_follows_the_sample_station() -> None:
    station = load_station(ROOT / "deploy/replay-station.toml")
    settings = load_opcua_adapter(ROOT / "deploy/adapter-opcua.toml")
    assert settings.source.station == station.station
    assert settings.source.request_endpoint == station.events.request_endpoint
    assert settings.state.folder.parent.resolve() == station.output.folder.resolve()
    assert settings.opcua.users.parent == ROOT / "deploy/opcua"


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"security": "none", "endpoint": "opc.tcp://0.0.0.0:4840"}, "open to the network at 0.0.0.0"),
        ({"security": "none", "endpoint": "opc.tcp://loom.mill:4840/x"}, "open to the network"),
        ({}, "needs certificate, private_key, trusted"),
        ({"security": "sign"}, "sign_and_encrypt"),
        ({"endpoint": "http://0.0.0.0:4840"}, "no address of an OPC UA server"),
        ({"endpoint": "opc.tcp://0.0.0.0:70000"}, "no address of an OPC UA server"),
        ({"application_uri": "loom 1"}, "application_uri"),
    ],
)
def test_what_would_be_open_or_wrong_is_refused(more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        OpcuaSettings.model_validate({"application_uri": "urn:x"} | more)


@pytest.mark.parametrize("endpoint", ["opc.tcp://127.0.0.1:4840", "opc.tcp://[::1]:4840/a/b", "opc.tcp://localhost:1"])
def test_without_encryption_this_machine_is_taken(endpoint: str) -> None:
    settings = OpcuaSettings(application_uri="urn:x", security="none", endpoint=endpoint)
    assert settings.host in ("127.0.0.1", "::1", "localhost")
    assert settings.port in (4840, 1)


# users


def test_a_password_is_nowhere_in_the_file_and_others_may_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    add_user(path, "anna", Role.CONTROLLER, PASSWORD)
    add_user(path, "bert", Role.OBSERVER, PASSWORD)
    text = path.read_text()
    assert PASSWORD not in text
    stored = json.loads(text)["users"]
    assert stored["anna"]["hash"] != stored["bert"]["hash"]  # salts of their own
    assert path.stat().st_mode & 0o777 == 0o600
    users = Users(path)
    assert users.login("anna", PASSWORD) is Role.CONTROLLER
    assert users.login("anna", PASSWORD + "x") is users.login("carl", PASSWORD) is None
    remove_user(path, "anna")
    assert users.login("anna", PASSWORD) is users.role_of("anna") is None
    assert users.role_of("bert") is Role.OBSERVER
    with pytest.raises(InputError, match="has no user 'anna'; it has bert"):
        remove_user(path, "anna")
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        Users(path)
    assert users.role_of("bert") is None  # nobody is let in by a file that others may write to


def test_the_same_text_in_another_form_of_unicode_is_the_same_password(tmp_path: Path) -> None:
    add_user(tmp_path / "users.json", "anna", Role.OBSERVER, "Gru\u00dfwort \u00e9t\u00e9")
    assert Users(tmp_path / "users.json").login("anna", "Gru\u00dfwort e\u0301te\u0301") is Role.OBSERVER


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "short"), ("anna", "x" * 300), ("a b", PASSWORD), ("", PASSWORD)]
)
def test_no_name_and_no_password_are_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(InputError):
        add_user(tmp_path / "users.json", name, Role.OBSERVER, password)
    assert not (tmp_path / "users.json").exists()


def test_guessing_at_one_user_keeps_no_other_out(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "users.json"
    add_user(path, "anna", Role.OBSERVER, PASSWORD)
    add_user(path, "bert", Role.OBSERVER, PASSWORD)
    users = Users(path, clock=lambda: now[0])
    for number in range(10):
        assert users.login("anna", f"wrong password {number}") is None
        now[0] += 1
    assert users.login("anna", PASSWORD) is None
    assert users.login("bert", PASSWORD) is Role.OBSERVER
    now[0] += 60
    assert users.login("anna", PASSWORD) is Role.OBSERVER


# certificates


def test_a_certificate_out_of_its_time_is_told_with_the_clock(tmp_path: Path) -> None:
    path, _ = identity(tmp_path, "a", CLIENT_URI)
    certificate = read_certificate(path)
    last = certificate.not_valid_after_utc
    assert time_complaint(certificate, last - timedelta(days=31), is_own=True) is None
    assert "expires on" in (time_complaint(certificate, last - timedelta(days=29), is_own=True) or "")
    assert time_complaint(certificate, last - timedelta(days=29)) is None
    assert "expired on" in (time_complaint(certificate, last + timedelta(days=1)) or "")
    early = time_complaint(certificate, datetime(1970, 1, 1, tzinfo=UTC)) or ""
    assert "is not valid before" in early
    assert "the clock of this machine says 1970-01-01" in early


def test_refused_certificates_are_kept_up_to_a_bound_and_broken_files_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    clock = [0.0]
    trust = TrustList(tmp_path / "trusted", tmp_path / "rejected", told.append, clock=lambda: clock[0])
    path, _ = identity(tmp_path, "a", CLIENT_URI)
    data = path.read_bytes()
    (tmp_path / "trusted/note.txt").write_text("no certificate, and not taken for one")
    (tmp_path / "trusted/broken.pem").write_text("-----BEGIN CERTIFICATE-----")
    now = datetime.now(UTC)
    for number in range(25):
        (tmp_path / f"rejected/{number:032x}.der").write_text("an older one")
    with pytest.raises(CertificateRefusedError, match="is not trusted; to trust it, move") as refused:
        trust.judge(data, CLIENT_URI, now)
    assert refused.value.fault is Fault.UNTRUSTED
    assert len(list((tmp_path / "rejected").iterdir())) == 20
    assert any("broken.pem" in text for text in told)
    another = identity(tmp_path, "b", CLIENT_URI)[0].read_bytes()
    with pytest.raises(CertificateRefusedError, match="was not kept, too many come"):
        trust.judge(another, CLIENT_URI, now)
    clock[0] += 1.0
    with pytest.raises(CertificateRefusedError, match="to trust it, move"):
        trust.judge(another, CLIENT_URI, now)
    shutil.copy(path, tmp_path / "trusted/plc.crt")
    trust.judge(data, CLIENT_URI, now)
    for uri, at, fault in (
        ("urn:other", now, Fault.URI),
        (CLIENT_URI, now + timedelta(days=4000), Fault.TIME),
        (None, datetime(1970, 1, 1, tzinfo=UTC), Fault.TIME),
    ):
        with pytest.raises(CertificateRefusedError) as refused:
            trust.judge(data, uri, at)
        assert refused.value.fault is fault
    with pytest.raises(CertificateRefusedError) as refused:
        trust.judge(b"nothing", CLIENT_URI, now)
    assert refused.value.fault is Fault.INVALID


# results


def recipe(style: str = "twill", version: str = "1") -> Recipe:
    return Recipe(style=style, version=version, model_sha256="ab" * 32, activated_utc=NOW)


def result(number: int, **fields: Any) -> RollResult:  # noqa: ANN401
    document = {
        "result_id": f"{'0' * 32}-{number}",
        "roll_id": f"R-{number}",
        "style": "twill",
        "recipe": recipe(),
        "state": ResultState.COMPLETED,
        "is_partial": False,
        "is_simulated": True,
        "started_utc": NOW,
        "ended_utc": NOW,
        "content": {"defects": []},
    }
    return RollResult.model_validate(document | fields)


def test_results_and_recipes_survive_and_are_bounded(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, 3)
    for number in range(1, 6):
        store.keep(result(number))
    store.keep(result(4, style="denim"))  # again
    for version in ("1", "2", "1"):
        engine = EngineActivated(
            style="twill", version=version, model_sha256="ab" * 32, runtime="r", precision="f32", threshold_logit=0
        )
        store.activated(engine, NOW)
    for again in (store, ResultStore(tmp_path, 3)):
        assert [(one.roll_id, one.style) for one in again.results] == [
            ("R-3", "twill"),
            ("R-4", "denim"),
            ("R-5", "twill"),
        ]
        assert [one.version for one in again.recipes] == ["2", "1"]
    assert len(list(tmp_path.glob("result-*.json"))) == 3
    assert [one.roll_id for one in ResultStore(tmp_path, 1).results] == ["R-5"]
    (tmp_path / "result-0000000009.json").write_text("{")
    with pytest.raises(InputError, match="is no file of this adapter"):
        ResultStore(tmp_path, 3)


def test_a_result_keeps_the_worst_defects_and_says_how_many_it_left_out(tmp_path: Path) -> None:
    received = journaled(tmp_path / "j", roll_drafts("R", 5))
    documents = [one.document for one in received]
    whole = result_of(RollSummary(documents), [], recipe(), 500)
    assert (whole.state, whole.is_partial, len(whole.content["defects"])) == (ResultState.COMPLETED, False, 5)
    assert whole.content_json() == json.dumps(whole.content, separators=(",", ":"))
    few = result_of(RollSummary(documents), [], None, 2)
    assert [one["defect_id"] for one in few.content["defects"]] == [1, 2]
    assert few.content["defects_left_out"] == 3
    died = result_of(RollSummary(documents[:-1]), [], recipe(), 500)
    assert (died.state, died.is_partial) == (ResultState.ABORTED, True)
    assert result_of(RollSummary(documents), [(3, 3)], recipe(), 500).is_partial


@given(st.lists(st.sampled_from(["R-1", "R-2", "R-3"]), max_size=12), st.integers(1, 5), st.sampled_from(["", "R-2"]))
def test_pages_of_a_query_are_disjoint_and_the_whole(rolls: list[str], most: int, wanted: str) -> None:
    results = [result(number, roll_id=roll) for number, roll in enumerate(rolls, 1)]
    query = ResultQuery(roll_id=wanted)
    pages, first = [], 0
    while True:
        page_of = find_results(results, query, first=first, most=most)
        pages += page_of.items
        first += most
        if page_of.is_complete:
            break
    assert pages == [one for one in reversed(results) if not wanted or one.roll_id == wanted]
    assert find_results(results, query, first=0, most=0).items == tuple(pages)
    assert find_results(results, ResultQuery(unknown=True), first=0, most=0).items == ()


def test_recipes_are_found_by_style_version_and_use() -> None:
    recipes = [recipe("twill", "1"), recipe("denim", "1"), recipe("twill", "2")]
    assert find_recipes(recipes, "twill", "", is_used=None, first=0, most=0).items == (recipes[2], recipes[0])
    assert find_recipes(recipes, "", "1", is_used=False, first=0, most=0).items == (recipes[1], recipes[0])
    assert find_recipes(recipes, "", "", is_used=True, first=0, most=0).items == (recipes[2],)


# states and events


def test_states_and_transitions_are_those_of_the_official_nodeset() -> None:
    tree = ElementTree.parse(ROOT / "glass_edge/adapters" / NODESET).getroot()
    names: dict[str, set[str]] = {"ns=1;i=1017": set(), "ns=1;i=1021": set()}
    for node in tree.iter(f"{UA}UAObject"):
        parent = node.get("ParentNodeId", "")
        if parent in names:
            names[parent].add(node.get("BrowseName", "").removeprefix("1:"))
    outer, inner = names["ns=1;i=1017"], names["ns=1;i=1021"]
    assert len(outer) > 10
    assert len(inner) > 10
    outers, inners = set(), set()
    for state in StationState:
        states = machine_states(state)
        outers.add(states.outer)
        if states.inner is not None:
            inners.add(states.inner)
    assert outers <= outer
    assert inners <= inner
    for states, known in ((outers, outer), (inners, inner)):
        mine = {transition(first, second) for first in states for second in states} - {None}
        assert mine == {name for name in known if name.endswith("Auto") and "To" in name and "Product" not in name} - {
            "PreoperationalToInitializedAuto"  # of the same event as PreoperationalToOperationalAuto
        }


def test_an_update_tells_nothing_and_a_stop_and_its_answer_do(tmp_path: Path) -> None:
    from glass_edge.events.payloads import StopAck
    from glass_edge.events.schema import Draft

    answer = StopAck(request_id="S-1", accepted=False, source="plc", detail="a person is at the loom")
    ack = Draft(kind="stop.ack", is_simulated=True, is_partial=False, roll_id=None, style=None, payload=answer)
    drafts = [*roll_drafts("R", 1)[:3], stop_request("S-1"), ack, status(StationState.READY)]
    events = [one.event for one in journaled(tmp_path / "j", drafts)]
    told = [[one.event_type for one in occurrences(None, event, [])] for event in events]
    assert told == [
        ["JobStartedEventType"],
        ["DefectEventType"],
        [],
        ["StopRequestEventType"],
        ["StopAnswerEventType"],
        [],
    ]
    [refused] = occurrences(first_view(events[0]), events[4], [])
    assert refused.message == "plc refused to stop a person is at the loom"


# the page and the command


def test_the_page_is_written_from_the_table() -> None:
    written = (ROOT / "docs/reference/opcua.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m glass_edge.adapters.opcua_reference docs/reference/opcua.md"


def test_the_command_makes_certificate_and_users_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    config = tmp_path / "opcua.toml"
    config.write_text(
        'adapter = "a"\nstate = { folder = "s" }\n[opcua]\napplication_uri = "urn:mill:glass-edge:x"\n'
        'certificate = "pki/own.pem"\nprivate_key = "pki/own-key.pem"\ntrusted = "pki/trusted"\nusers = "users.json"\n'
    )
    command = ["adapter", "opcua", "--config", str(config)]
    assert run([*command, "--make-certificate", "--host", "loom1.mill", "--host", "10.0.0.7"]) == 0
    assert "loom1.mill, 10.0.0.7" in capsys.readouterr().out
    assert (tmp_path / "pki/own.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")
    assert run([*command, "--make-certificate"]) == 2
    assert "is there already" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert run([*command, "--add-user", "anna", "--role", "controller"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run([*command, "--add-user", "bert"]) == 2
    assert run([*command, "--add-user", "bert", "--role", "king"]) == 2
    assert "give observer, controller, engineer" in capsys.readouterr().err
    assert run([*command, "--add-user", "bert", "--dry-run"]) == 2
    assert Users(tmp_path / "users.json").login("anna", PASSWORD) is Role.CONTROLLER
    assert run([*command, "--remove-user", "anna"]) == 0
    assert Users(tmp_path / "users.json").role_of("anna") is None


def test_without_the_library_its_extra_is_named(
    short_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(short_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "asyncua"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("glass_edge.adapters.opcua_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("glass_edge.adapters.opcua_server", raising=False)
    assert run(["adapter", "opcua", "--config", str(short_path / "opcua.toml")]) == 2
    assert "pip install 'glass-edge[opcua]'" in capsys.readouterr().err


def test_a_dry_run_tells_what_would_be_told(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(short_path)
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all(roll_drafts("R-1", 1))
        assert run(["adapter", "opcua", "--config", str(short_path / "opcua.toml"), "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "#1 roll.start: would show it, and tell JobStartedEventType"
    assert told[-1] == "#6 roll.end: would show it; a result"
    assert not (short_path / "state").exists()


def test_a_full_disk_is_told_and_waited_out(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = prepare(short_path)
    full = [True]
    write = ResultStore.keep

    def keep(store: ResultStore, one: RollResult) -> None:
        if full[0]:
            raise OSError(28, "No space left on device", str(short_path / "state/results"))
        write(store, one)

    monkeypatch.setattr(ResultStore, "keep", keep)
    with Mill(short_path, settings) as mill:
        mill.publisher.emit_all(roll_drafts("R-1", 1))
        eventually(lambda: mill.status()["state"] == "retrying", "the trouble")
        assert "No space left on device" in mill.status()["last_error"]["text"]
        full[0] = False
        eventually(lambda: mill.status()["seq"] == mill.head(), "the end of the trouble")
    assert [one.roll_id for one in ResultStore(short_path / "state/results", 3).results] == ["R-1"]
