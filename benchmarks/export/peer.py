"""A peer's arm: `python -P peer.py ARM PRECISION MODEL FOLDER LLAMA_CPP`, in the peers' environment.

Runs the program that the peer ships, within this process, so that what its libraries hold before it
begins can be told apart. Imports nothing of ours but the stopwatch, which lies beside it.
"""

import runpy
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from measured import Stopwatch  # type: ignore[import-not-found]  # beside this file


def main() -> None:
    """Write one file or folder."""
    arm, precision = sys.argv[1:3]
    model, folder, source = map(Path, sys.argv[3:])
    files = folder / "files"
    files.mkdir()
    if arm == "llama.cpp":
        watch = _convert(model, files, precision, source)
    else:
        watch = _build(model, files, precision)
    watch.write(folder)


def _convert(model: Path, files: Path, precision: str, source: Path) -> Stopwatch:
    """llama.cpp's converter, as it lies in the source archive of llama-cpp-python."""
    program = source / "convert_hf_to_gguf.py"
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    for needed in ("torch", "transformers", "conversion.llama"):
        import_module(needed)
    watch = Stopwatch()
    outfile = files / f"theirs-{precision}.gguf"
    sys.argv = [str(program), str(model), "--outtype", precision, "--outfile", str(outfile)]
    runpy.run_path(str(program), run_name="__main__")
    return watch


def _build(model: Path, files: Path, precision: str) -> Stopwatch:
    """onnxruntime-genai's model builder."""
    program = "onnxruntime_genai.models.builder"
    import_module(program)
    watch = Stopwatch()
    cache = str(files.parent / "cache")
    asked = ["-i", str(model), "-o", str(files), "-p", precision, "-e", "cpu", "-c", cache]
    sys.argv = [program, *asked]
    runpy.run_module(program, run_name="__main__")
    return watch


if __name__ == "__main__":
    main()
