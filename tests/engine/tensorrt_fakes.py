"""Scripted stand-ins for TensorRT, pycuda and cuda-bindings, for what no machine without a GPU can show.

The TensorRT classes have the members that the real bindings of a version have (tests/golden/tensorrt_names.json) and
no other: using a name the version lacks is an AttributeError, as it would be with the real one.
"""

from __future__ import annotations

import enum
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

NAMES = json.loads((Path(__file__).parents[1] / "golden" / "tensorrt_names.json").read_text())
VERSIONS = [key for key in NAMES if key[0].isdigit()]
HANDLE = 77


class Strict:
    """An object with exactly the members of a class of the bindings; those not scripted cannot be used."""

    def __init__(self, members: str, /, **scripted: Any) -> None:  # noqa: ANN401
        unknown = set(scripted) - set(members.split())
        assert not unknown, f"the real class has no {unknown}"
        self.__dict__["_members"] = set(members.split())
        self.__dict__.update(scripted)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        assert name not in self.__dict__["_members"], f"'{name}' exists and is not scripted"
        raise AttributeError(name)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__dict__["_members"]:
            raise AttributeError(name)
        self.__dict__[name] = value


class Gpu:
    """What the fakes share: memory by address, the log of calls with their threads, and the answers to give.

    The plan's network says of each tile its mean, at every cell.
    """

    def __init__(self, tile: Any, max_batch: int) -> None:  # noqa: ANN401
        self.tile, self.max_batch = tile, max_batch
        self.memory: dict[int, bytearray] = {}
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self.answers: dict[str, list[object]] = {}
        self.executed: list[int] = []
        self.freed: list[int] = []
        self.parser_errors = 0

    def say(self, call: str, usual: object = None) -> Any:  # noqa: ANN401
        """Note a call; its scripted answer or the usual one. An exception as answer is raised."""
        self.calls.append(call)
        self.threads.add(threading.get_ident())
        answers = self.answers.get(call)
        answer = answers.pop(0) if answers else usual
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def sides(self) -> tuple[int, int, int]:
        return (self.tile.height_px, self.tile.width_px, self.tile.channels)

    @property
    def grid(self) -> tuple[int, int]:
        stride = self.tile.score_stride_px
        return (self.tile.height_px // stride, self.tile.width_px // stride)

    def compute(self, count: int, source: int, result: int) -> None:
        self.executed.append(count)
        size = int(np.prod(self.sides))
        tiles = np.frombuffer(self.memory[source], np.uint8)[: count * size].reshape(count, -1)
        maps = np.broadcast_to(tiles.mean(axis=1)[:, None, None], (count, *self.grid)).astype(np.float32)
        self.memory[result][: maps.nbytes] = maps.tobytes()


def _enumeration(name: str, members: str) -> enum.Enum:
    return enum.Enum(name, {one: index for index, one in enumerate(members.split()) if one not in ("name", "value")})


class FakeTensorRt:
    """The module `tensorrt` of a version."""

    def __init__(self, version: str, gpu: Gpu) -> None:
        names = NAMES[version]
        self.__version__ = version
        self.gpu, self.names = gpu, names
        for name in ("DataType", "TensorIOMode", "HardwareCompatibilityLevel", "BuilderFlag"):
            setattr(self, name, _enumeration(name, names[name]))
        flags = [one for one in names["NetworkDefinitionCreationFlag"].split() if one not in ("name", "value")]
        flag_class = enum.IntEnum("NetworkDefinitionCreationFlag", {one: index for index, one in enumerate(flags)})
        self.NetworkDefinitionCreationFlag = flag_class
        self.IBuilderConfig = type("IBuilderConfig", (), dict.fromkeys(names["IBuilderConfig"].split()))
        severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])
        self.ILogger = type("ILogger", (), {"Severity": severity})
        self.IProgressMonitor = type("IProgressMonitor", (), {})

    def strict(self, kind: str, /, **scripted: Any) -> Strict:  # noqa: ANN401
        return Strict(self.names[kind], **scripted)

    def Builder(self, logger: object) -> Strict:
        gpu = self.gpu
        config_calls: dict[str, Callable[..., object]] = {
            "clear_flag": lambda flag: gpu.say(f"clear_flag {flag.name}"),
            "add_optimization_profile": lambda profile: gpu.say("add_optimization_profile", 0),
            "create_timing_cache": lambda content: gpu.say(f"create_timing_cache {bytes(content)!r}", content),
            "set_timing_cache": lambda cache, ignore: gpu.say(f"set_timing_cache {cache!r} {ignore}", True),
            "get_timing_cache": lambda: self.strict("ITimingCache", serialize=lambda: b"timings"),
        }
        config = self.strict("IBuilderConfig", **config_calls)
        profile = self.strict("IOptimizationProfile", set_shape=lambda *shapes: gpu.say(f"set_shape {shapes}"))

        def build(network: object, config: Strict) -> object:
            monitor = config.progress_monitor
            monitor.phase_start("Building engine", None, 2)
            monitor.phase_start("Timing", "Building engine", 4)
            for step in range(4):
                gpu.say(f"step {monitor.step_complete('Timing', step)}")
            monitor.phase_finish("Timing")
            monitor.phase_finish("Building engine")
            gpu.say(f"level {config.builder_optimization_level}")
            compatibility = getattr(config, "__dict__", {}).get("hardware_compatibility_level")
            gpu.say(f"compatibility {compatibility.name if compatibility else None}")
            return gpu.say("build_serialized_network", b"plan of " + network.name.encode())

        return self.strict(
            "Builder",
            logger=logger,
            create_network=self.network,
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: profile,
            build_serialized_network=build,
        )

    def network(self, flags: int) -> Strict:
        assert flags == 1 << int(self.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        tensor = self.names["ITensor"]
        source = Strict(tensor, name="tiles", dtype=self.DataType.UINT8, shape=(-1, *self.gpu.sides))
        result = Strict(tensor, name="logits", dtype=self.DataType.FLOAT, shape=(-1, *self.gpu.grid))
        return self.strict(
            "INetworkDefinition",
            name="network",
            num_inputs=1,
            num_outputs=1,
            get_input=lambda index: [source][index],
            get_output=lambda index: [result][index],
        )

    def OnnxParser(self, network: Strict, logger: object) -> Strict:
        error = self.strict(
            "ParserError",
            code=lambda: "ErrorCode.UNSUPPORTED_NODE",
            node=lambda: 7,
            node_name=lambda: "",
            node_operator=lambda: "Loom",
            desc=lambda: "no such\n weave",
        )
        return self.strict(
            "OnnxParser",
            parse=lambda model: self.gpu.say("parse", True),
            num_errors=self.gpu.parser_errors,
            get_error=lambda index: error,
        )

    def Runtime(self, logger: object) -> Strict:
        def deserialize(plan: bytes) -> object:
            engine = self.gpu.say("deserialize", self.engine())
            if engine is None:
                severity = self.ILogger.Severity  # type: ignore[attr-defined]
                logger.log(severity.ERROR, "made by\nanother version")  # type: ignore[attr-defined]
            return engine

        return self.strict("Runtime", deserialize_cuda_engine=deserialize)

    def engine(self) -> Strict:
        modes = self.TensorIOMode
        largest = (self.gpu.max_batch, *self.gpu.sides)
        return self.strict(
            "ICudaEngine",
            num_io_tensors=2,
            get_tensor_name=lambda index: ["tiles", "logits"][index],
            get_tensor_mode=lambda name: modes.INPUT if name == "tiles" else modes.OUTPUT,
            get_tensor_profile_shape=lambda name, profile: [(1, *largest[1:]), largest, largest],
            create_execution_context=lambda: self.gpu.say("create_execution_context", self.context()),
        )

    def context(self) -> Strict:
        gpu, state = self.gpu, SimpleNamespace(count=0, addresses={})

        def set_input_shape(name: str, shape: tuple[int, ...]) -> object:
            state.count = shape[0]
            return gpu.say("set_input_shape", True)

        def set_tensor_address(name: str, address: int) -> object:
            state.addresses[name] = address
            return gpu.say("set_tensor_address", True)

        def execute(stream: int) -> object:
            assert stream == HANDLE
            gpu.compute(state.count, state.addresses["tiles"], state.addresses["logits"])
            return gpu.say("execute_async_v3", True)

        return self.strict(
            "IExecutionContext",
            set_input_shape=set_input_shape,
            set_tensor_address=set_tensor_address,
            get_tensor_shape=lambda name: gpu.say("get_tensor_shape", (state.count, *gpu.grid)),
            execute_async_v3=execute,
        )


class FakePycuda:
    """The module `pycuda.driver`, as much as is used; names seen in pycuda 2026.1."""

    class Error(Exception):
        pass

    event_flags = SimpleNamespace(DISABLE_TIMING=2)

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def init(self) -> None:
        self.gpu.say("init")

    def Device(self, index: int) -> SimpleNamespace:
        say = self.gpu.say
        context = SimpleNamespace(push=lambda: say("push"), pop=lambda: say("pop"), detach=lambda: say("detach"))
        return SimpleNamespace(retain_primary_context=lambda: say(f"retain {index}", context))

    def Stream(self) -> SimpleNamespace:
        return self.gpu.say("Stream", SimpleNamespace(handle=HANDLE, synchronize=lambda: self.gpu.say("synchronize")))

    def Event(self, flags: int) -> SimpleNamespace:
        say = self.gpu.say
        return SimpleNamespace(record=lambda stream: say("record"), synchronize=lambda: say("event"))

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:  # noqa: ANN401
        return self.gpu.say("pagelocked_empty", np.full(shape, 9, dtype))

    def mem_alloc(self, n_bytes: int) -> Any:  # noqa: ANN401
        address = 1000 + len(self.gpu.memory)
        self.gpu.memory[address] = bytearray(n_bytes)
        gpu = self.gpu

        class Allocation:
            def __int__(self) -> int:
                return address

            def free(self) -> None:
                gpu.freed.append(address)

        return gpu.say(f"mem_alloc {n_bytes}", Allocation())

    def memcpy_htod_async(self, address: int, host: np.ndarray, stream: Any) -> None:  # noqa: ANN401
        assert stream.handle == HANDLE
        self.gpu.memory[address][: host.nbytes] = host.tobytes()
        self.gpu.say("htod")

    def memcpy_dtoh_async(self, host: np.ndarray, address: int, stream: Any) -> None:  # noqa: ANN401
        assert stream.handle == HANDLE
        host[...] = np.frombuffer(self.gpu.memory[address][: host.nbytes], host.dtype).reshape(host.shape)
        self.gpu.say("dtoh")
