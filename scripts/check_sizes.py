"""Print every source file over 400 lines and every function over 60; exit 1 if there is one."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
TOP = Path(__file__).resolve().parent.parent


def offenders(path: Path) -> Iterator[str]:
    """Yield one sentence for the file and for each function in it that is too long."""
    name = path.relative_to(TOP)
    source = path.read_text(encoding="utf-8")
    if (lines := len(source.splitlines())) > MAX_FILE_LINES:
        yield f"{name}: {lines} lines, at most {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(source, str(name))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno} {node.name}: {lines} lines, at most {MAX_FUNCTION_LINES}"


def main() -> int:
    """Check all packages; return the exit code."""
    sources = sorted(TOP.glob("packages/*/src/**/*.py"))
    if not sources:
        print(f"no sources under {TOP / 'packages'}")
        return 1
    found = [line for path in sources for line in offenders(path)]
    print("\n".join(found) or f"sizes: {len(sources)} files are within the yardsticks")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
