"""What a file's name says of its content: prose, source code and in which language, or records.

Languages are called what GitHub's Linguist calls them, as in the data sets of code that models were
trained on. Where it gives one ending to several languages, the commonest is meant here. Pygments
was no help: it takes `.sql`, `.pl`, `.r` and `.fs` for Transact-SQL, Prolog, REBOL and Forth.
"""

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

__all__ = ["Kind", "kind_of", "language_of"]


class Kind(StrEnum):
    """What a file is by its name."""

    PROSE = "PROSE"
    SOURCE = "SOURCE"
    DATA = "DATA"
    """Rows or cells, which a reader of their own takes, one file at a time."""
    ARCHIVE = "ARCHIVE"
    """An archive, or a compressed file."""
    UNKNOWN = "UNKNOWN"


def kind_of(path: str) -> Kind:
    """The kind of the file at this path; it is not opened."""
    ending = _ending(path)
    for kind, endings in _ENDINGS.items():
        if ending in endings:
            return kind
    return Kind.SOURCE if language_of(path) else Kind.UNKNOWN


def language_of(path: str) -> str | None:
    """The language of the file at this path; None where its name tells none."""
    name = PurePosixPath(path).name
    return _NAMES.get(name.casefold()) or _LANGUAGES.get(_ending(path))


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix[1:].casefold()


_ENDINGS: Final = {
    Kind.PROSE: frozenset({"txt", "text", "md", "markdown", "rst", "adoc", "asciidoc", "org"}),
    Kind.DATA: frozenset({"jsonl", "ndjson", "csv", "tsv", "parquet", "arrow", "feather", "xlsx"}),
    Kind.ARCHIVE: frozenset(
        {"zip", "tar", "gz", "tgz", "zst", "zstd", "bz2", "xz", "7z", "rar", "jar", "whl"}
    ),
}

_NAMES: Final = {
    "makefile": "Makefile",
    "gnumakefile": "Makefile",
    "dockerfile": "Dockerfile",
    "cmakelists.txt": "CMake",
    "gemfile": "Ruby",
    "rakefile": "Ruby",
    "jenkinsfile": "Groovy",
}

_SPOKEN: Final = {
    "Assembly": "asm s nasm",
    "Astro": "astro",
    "Awk": "awk",
    "Batchfile": "bat cmd",
    "C": "c h",
    "C#": "cs csx",
    "C++": "cpp cc cxx hpp hh hxx ipp",
    "CMake": "cmake",
    "CSS": "css",
    "Clojure": "clj cljs cljc",
    "Common Lisp": "lisp lsp",
    "Crystal": "cr",
    "Cuda": "cu cuh",
    "Cython": "pyx pxd",
    "D": "d",
    "Dart": "dart",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Emacs Lisp": "el",
    "Erlang": "erl hrl",
    "F#": "fs fsi fsx",
    "Fortran": "f f77 f90 f95 f03 for",
    "GDScript": "gd",
    "GLSL": "glsl vert frag",
    "Go": "go",
    "GraphQL": "graphql gql",
    "Groovy": "groovy gradle",
    "HCL": "hcl tf",
    "HTML": "html htm",
    "Haskell": "hs",
    "INI": "ini cfg",
    "JSON": "json",
    "Java": "java",
    "JavaScript": "js mjs cjs jsx",
    "Julia": "jl",
    "Kotlin": "kt kts",
    "Less": "less",
    "Lua": "lua",
    "MATLAB": "matlab",
    "Makefile": "mk mak",
    "Markdown": "md markdown",
    "Nim": "nim",
    "Nix": "nix",
    "OCaml": "ml mli",
    "Objective-C": "m",
    "Objective-C++": "mm",
    "PHP": "php",
    "PLpgSQL": "pgsql",
    "Pascal": "pas pp",
    "Perl": "pl pm",
    "PowerShell": "ps1 psm1",
    "Prolog": "pro",
    "Protocol Buffer": "proto",
    "Python": "py pyi pyw",
    "R": "r",
    "Racket": "rkt",
    "Ruby": "rb rake gemspec",
    "Rust": "rs",
    "SCSS": "scss",
    "SQL": "sql",
    "Scala": "scala sc",
    "Scheme": "scm ss",
    "Shell": "sh bash zsh fish",
    "Solidity": "sol",
    "Svelte": "svelte",
    "Swift": "swift",
    "SystemVerilog": "sv svh",
    "TOML": "toml",
    "TSX": "tsx",
    "Tcl": "tcl",
    "TeX": "tex sty",
    "TypeScript": "ts mts cts",
    "VHDL": "vhd vhdl",
    "Verilog": "v",
    "Vim Script": "vim",
    "Visual Basic .NET": "vb",
    "Vue": "vue",
    "XML": "xml xsd xsl",
    "YAML": "yaml yml",
    "Zig": "zig",
    "reStructuredText": "rst",
}
_LANGUAGES: Final = {
    ending: language for language, endings in _SPOKEN.items() for ending in endings.split()
}
