"""What the tests of the MQTT adapter share: its settings, and the adapter itself in threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from adapters_support import Running

from glass_edge.adapters.mqtt import MqttSink
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.config.adapter_mqtt import MqttAdapterSettings

BASE = "mill/loom1"


class Log(RepeatedLog):
    """Keeps what was told."""

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[str] = []

    def tell(self, key: str, text: str) -> bool:
        self.lines.append(text)
        return super().tell(key, text)


def mqtt_settings(folder: Path, broker: str, **mqtt: Any) -> MqttAdapterSettings:  # noqa: ANN401 - fields of the model
    quick = {"timeout_s": 5.0, "state_s": 0.1, "rebirth_s": 0.5}
    return MqttAdapterSettings.model_validate(
        {
            "adapter": "test",
            "source": {
                "station": "loom1",
                "publish_endpoint": f"ipc://{folder}/pub",
                "request_endpoint": f"ipc://{folder}/req",
            },
            "state": {"folder": folder / "state"},
            "retry": {"first_s": 0.05, "most_s": 0.3},
            "mqtt": {"broker": broker, "prefix": "mill"} | quick | mqtt,
        }
    )


@contextmanager
def mqtt_adapter(settings: MqttAdapterSettings, log: Log | None = None) -> Iterator[Running]:
    """The adapter at work, ended in good order."""
    folder = settings.state.folder
    folder.mkdir(exist_ok=True)
    with closing(MqttSink(settings, log or Log())) as sink, Running(folder.parent, sink) as running:
        yield running


def adapter_file(folder: Path, broker: str, *lines: str) -> Path:
    """The same settings as a file, for the command."""
    path = folder / "mqtt.toml"
    path.write_text(
        f"""adapter = "test"
source = {{ station = "loom1", publish_endpoint = "ipc://{folder}/pub", request_endpoint = "ipc://{folder}/req" }}
state = {{ folder = "state" }}
retry = {{ first_s = 0.05, most_s = 0.3 }}
[mqtt]
broker = "{broker}"
prefix = "mill"
"""
        + "\n".join(lines)
    )
    return path
