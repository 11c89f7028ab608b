from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from glass_edge.config.adapter_mqtt import BrokerPlace, MqttSettings, load_mqtt_adapter
from glass_edge.config.station import load_station
from glass_edge.errors import InputError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
HEAD = 'adapter = "a"\nsource = { station = "loom1" }\nstate = { folder = "s" }\n[mqtt]\n'


def test_the_sample_follows_the_sample_station() -> None:
    station = load_station(DEPLOY / "replay-station.toml")
    settings = load_mqtt_adapter(DEPLOY / "adapter-mqtt.toml")
    assert settings.station == station.station
    assert settings.source.publish_endpoint == station.events.publish_endpoint
    assert settings.source.request_endpoint == station.events.request_endpoint
    assert settings.state.folder.parent.resolve() == station.output.folder.resolve()


def test_paths_are_relative_to_the_file_and_credentials_are_not_paths(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        HEAD + 'broker = "mqtts://b"\nuser = "u"\npassword_file = "p"\nca_file = "/ca.pem"\n'
        'client_certificate = "c.pem"\nclient_key = "credential:key"\n'
    )
    mqtt = load_mqtt_adapter(file).mqtt
    assert (mqtt.password_file, mqtt.ca_file) == (str(tmp_path / "p"), Path("/ca.pem"))
    assert (mqtt.client_certificate, mqtt.client_key) == (tmp_path / "c.pem", "credential:key")
    assert load_mqtt_adapter(file).client_id == "glass-edge-loom1-a"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("mqtts://broker.mill", BrokerPlace("broker.mill", 8883, True)),
        ("mqtts://10.0.0.7:18883/", BrokerPlace("10.0.0.7", 18883, True)),
        ("mqtt://localhost", BrokerPlace("localhost", 1883, False)),
        ("mqtt://[::1]:1884", BrokerPlace("::1", 1884, False)),
    ],
)
def test_brokers_that_are_safe(url: str, place: BrokerPlace) -> None:
    assert MqttSettings(broker=url).place == place


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mqtt://broker.mill", "unencrypted to broker.mill"),
        ("mqtt://127.0.0.1.mill", "unencrypted"),
        ("mqtts://me:secret@broker", "give user and password_file"),
        ("tcp://broker", "no URL of a broker"),
        ("broker:1883", "no URL of a broker"),
        ("mqtts://", "no URL of a broker"),
        ("mqtts://broker/topic", "no URL of a broker"),
        ("mqtts://broker:0", "no URL of a broker"),
        ("mqtts://broker:99999", "is no URL"),
    ],
)
def test_brokers_that_are_not(url: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        MqttSettings(broker=url)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('broker = "mqtts://b"\nprefix = "a//b"', r"m\.toml:6: mqtt\.prefix"),
        ('broker = "mqtts://b"\nprefix = "a/+/b"', r"mqtt\.prefix"),
        ('broker = "mqtts://b"\nprefix = "$SYS"', r"mqtt\.prefix"),
        ('broker = "mqtts://b"\nclient_id = "a b"', r"mqtt\.client_id"),
        ('broker = "mqtts://b"\npassword_file = "p"', "password_file without user"),
        ('broker = "mqtts://b"\nclient_key = "k"', "give client_certificate and client_key, or neither"),
        ('broker = "mqtt://localhost"\nca_file = "c"', "ca_file and client_certificate are of TLS"),
        ('broker = "mqtts://b"\nqos = 2', "unknown key 'mqtt.qos'"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, lines: str, complaint: str) -> None:
    file = tmp_path / "m.toml"
    file.write_text(HEAD + lines + "\n")
    with pytest.raises(InputError, match=complaint):
        load_mqtt_adapter(file)


def test_the_station_must_be_named(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(HEAD.replace('station = "loom1"', "") + 'broker = "mqtts://b"\n')
    with pytest.raises(InputError, match=r"source\.station is missing"):
        load_mqtt_adapter(file)
