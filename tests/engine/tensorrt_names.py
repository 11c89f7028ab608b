"""Writes tests/golden/tensorrt_names.json: the names that TensorRT's Python bindings really have, by version.

The bindings' wheels are small and on PyPI, the libraries they need are not. Nothing of the libraries runs while a
module is imported, so empty ones with the right names let the bindings be imported and asked what they offer.
Run on Linux x86-64 with Python 3.11, a C compiler and binutils:

    .venv/bin/python tests/engine/tensorrt_names.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "tensorrt_cu13_bindings"
VERSIONS = ("10.16.1.11", "11.4.0.106")
CLASSES = (
    *("Builder", "BuilderFlag", "DataType", "ErrorCode", "HardwareCompatibilityLevel", "IBuilderConfig", "ICudaEngine"),
    *("IExecutionContext", "IHostMemory", "ILogger", "INetworkDefinition", "IOptimizationProfile", "IProgressMonitor"),
    *("ITensor", "ITimingCache", "NetworkDefinitionCreationFlag", "OnnxParser", "ParserError", "Runtime"),
    "TensorIOMode",
)
TARGET = Path(__file__).parents[1] / "golden" / "tensorrt_names.json"
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tensorrt_bindings as api
print(json.dumps({name: [one for one in dir(getattr(api, name)) if one[0] != "_"]
                  for name in sys.argv[2:] if hasattr(api, name)}))
"""


def names_of(version: str, folder: Path) -> dict[str, list[str]]:
    """Public members of each class."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, f"{PACKAGE}=={version}"], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    bindings = folder / "tensorrt_bindings" / "tensorrt.so"

    def said(*command: str) -> str:
        return subprocess.run([*command, str(bindings)], check=True, capture_output=True, text=True).stdout

    missing = re.findall(
        r" U ((?:create|get|init)\w*(?:_INTERNAL|Plugins|Registry|Version))$", said("nm", "-D", "-u"), re.M
    )
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in missing))
    for library in re.findall(r"\[(libnv[\w.]+)\]", said("readelf", "-d")):
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(folder / library), str(source)]
        subprocess.run(command, check=True)
    ask = [sys.executable, "-c", ASK, str(folder), *CLASSES]
    answer = subprocess.run(ask, check=True, capture_output=True, text=True, env={"LD_LIBRARY_PATH": str(folder)})
    found: dict[str, list[str]] = json.loads(answer.stdout)
    return found


def main() -> None:
    """Ask every version."""
    document: dict[str, object] = {"made_by": ".venv/bin/python tests/engine/tensorrt_names.py", "package": PACKAGE}
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            document[version] = {
                name: " ".join(members) for name, members in sorted(names_of(version, Path(folder)).items())
            }
    TARGET.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
