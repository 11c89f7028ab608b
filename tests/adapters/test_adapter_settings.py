from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from glass_edge.config.adapter_files import load_files_adapter
from glass_edge.config.adapter_webhook import WebhookSettings, load_webhook_adapter
from glass_edge.config.station import load_station
from glass_edge.errors import InputError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_the_samples_follow_the_sample_station() -> None:
    station = load_station(DEPLOY / "replay-station.toml")
    for settings in (
        load_files_adapter(DEPLOY / "adapter-files.toml"),
        load_webhook_adapter(DEPLOY / "adapter-webhook.toml"),
    ):
        assert settings.source.station == station.station
        assert settings.source.publish_endpoint == station.events.publish_endpoint
        assert settings.source.request_endpoint == station.events.request_endpoint
        assert settings.state.folder.parent.resolve() == station.output.folder.resolve()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hook.toml"
    file.write_text(
        'adapter = "a"\nstate = { folder = "s" }\n'
        '[webhook]\nurl = "https://mes/x"\nsecret_file = "k"\nca_file = "/ca.pem"\n'
    )
    settings = load_webhook_adapter(file)
    assert settings.state.folder == tmp_path / "s"
    assert settings.webhook.secret_file == tmp_path / "k"
    assert settings.webhook.ca_file == Path("/ca.pem")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('folders = "x"', r"a\.toml:4: unknown key 'files\.folders'; did you mean 'folder'"),
        ("[source]\nstart = 'newest'", r"source\.start = 'newest'"),
        ('[source]\npublish_endpoint = "tcp://10.0.0.1:5"', "unencrypted"),
        ('[source]\nserver_key = "station.key"', "give server_key and client_key, or neither"),
        ("[retry]\nfirst_s = 10\nmost_s = 5", "most_s must not be less"),
        ('[webhook]\nurl = "https://mes"', "unknown key 'webhook'"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f'adapter = "a"\nstate = {{ folder = "s" }}\n[files]\n{line}\n')
    with pytest.raises(InputError, match=complaint):
        load_files_adapter(file)


@pytest.mark.parametrize(
    "url", ["https://mes.mill/e", "https://[::1]:8443/", "http://localhost/e", "http://127.0.0.9:80/", "http://[::1]/"]
)
def test_urls_that_are_safe(url: str) -> None:
    assert WebhookSettings(url=url, secret_credential="k").url == url


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://mes.mill/e", "unencrypted to mes.mill"),
        ("http://localhost.mill/e", "unencrypted"),
        ("http://10.0.0.1/", "unencrypted"),
        ("http://127.0.0.1.mill/", "unencrypted"),
        ("https://me:secret@mes/", "user name or password"),
        ("ftp://mes/", "no URL of a server"),
        ("mes.mill/e", "no URL of a server"),
        ("https://", "no URL of a server"),
        ("https://mes:99999/", "is no URL"),
        ("https://[::1/", "is no URL"),
    ],
)
def test_urls_that_are_not(url: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        WebhookSettings(url=url, secret_credential="k")


def test_exactly_one_secret_is_named() -> None:
    for names in ({}, {"secret_file": Path("a"), "secret_credential": "b"}):
        with pytest.raises(ValidationError, match="either secret_file or secret_credential"):
            WebhookSettings.model_validate({"url": "https://mes/"} | names)
    with pytest.raises(ValidationError, match="secret_credential"):
        WebhookSettings(url="https://mes/", secret_credential="../other")


def test_with_keys_a_station_may_be_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    source = 'publish_endpoint = "tcp://10.0.0.1:5556"\nrequest_endpoint = "tcp://10.0.0.1:5557"\n'
    keys = 'server_key = "keys/loom-1.key"\nclient_key = "%s"\n'
    head = 'adapter = "a"\nstate = { folder = "s" }\nfiles = { folder = "f" }\n[source]\n'
    file.write_text(head + source + keys % "mes.key_secret")
    read = load_files_adapter(file).source
    assert (read.server_key, read.client_key) == (tmp_path / "keys/loom-1.key", str(tmp_path / "mes.key_secret"))
    file.write_text(head + source + keys % "credential:mes")
    assert load_files_adapter(file).source.client_key == "credential:mes"
