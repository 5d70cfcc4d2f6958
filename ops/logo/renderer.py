"""Render the SVG on standard input to a PNG on standard output: `python renderer.py WIDTH HEIGHT`.

A process of its own, since a renderer that is given the wrong filter does not come back.
"""

import sys

import resvg_py


def main(width: str, height: str) -> None:
    """Without fonts of this machine: what is drawn here is drawn everywhere."""
    try:
        svg = sys.stdin.buffer.read().decode()
        png = resvg_py.svg_to_bytes(svg_string=svg, width=int(width), height=int(height), skip_system_fonts=True)
    except ValueError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(png)


if __name__ == "__main__":
    main(*sys.argv[1:])
