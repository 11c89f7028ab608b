"""The adapter's file: what is taken, and what is refused with what to give instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from glass_edge.config.adapter_modbus import ModbusSettings, load_modbus_adapter
from glass_edge.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def test_the_sample_file_loads_with_its_paths_from_its_folder() -> None:
    settings = load_modbus_adapter(ROOT / "deploy/adapter-modbus.toml")
    assert settings.state.folder == ROOT / "deploy/../runs/sample/plc-modbus"
    assert settings.modbus == ModbusSettings(port=5020)  # what the sample shows are the defaults


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"bind": "0.0.0.0"}, "name the controllers in allowed_clients"),
        ({"bind": "::"}, "name the controllers in allowed_clients"),
        ({"bind": "localhost"}, "give one of this machine"),
        ({"bind": "192.168.7.20", "allowed_clients": ["0.0.0.0/0"]}, "is everybody"),
        ({"allowed_clients": ["::/0"]}, "is everybody"),
        ({"allowed_clients": []}, "nobody could connect"),
        ({"allowed_clients": ["plc7"]}, "no address or network"),
        ({"allowed_clients": ["192.168.7.10/24"]}, "host bits"),
        ({"unit_id": 0}, "greater than or equal to 1"),
        ({"unit_id": 248}, "less than or equal to 247"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"word_order": "middle"}, "'big' or 'little'"),
        ({"ack_timeout_s": 0}, "greater than or equal to 0.5"),
        ({"tls": True}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ModbusSettings.model_validate(values)


def test_beyond_this_machine_the_controllers_are_named() -> None:
    settings = ModbusSettings.model_validate({"bind": "192.168.7.20", "allowed_clients": ["192.168.7.10", "fd00::/64"]})
    assert settings.allowed_clients == ("192.168.7.10/32", "fd00::/64")


def test_a_wrong_file_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "plc.toml"
    path.write_text('adapter = "plc"\nstate = { folder = "s" }\n[modbus]\nbind = "10.0.0.1"\n')
    with pytest.raises(InputError, match=r"plc\.toml.*\n?.*modbus"):
        load_modbus_adapter(path)
