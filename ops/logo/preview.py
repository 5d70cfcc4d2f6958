"""A logo as people will see it: large and small, on white and on grey, side by side."""

from pathlib import Path

from PIL import Image

from ops.logo.drawing import Drawing, LogoUnreadable
from ops.logo.picture import render

BACKGROUNDS = ("#ffffff", "#9ca3af")
PANEL_PX = (480, 480)
LARGE_PX = 320
SMALL_PX = 64


def write_preview(drawing: Drawing, path: Path) -> None:
    """Write the PNG, its folder included. Raises LogoUnreadable if it cannot be written there."""
    width, height = PANEL_PX
    preview = Image.new("RGB", (width * len(BACKGROUNDS), height))
    for number, background in enumerate(BACKGROUNDS):
        panel = Image.new("RGB", PANEL_PX, background)
        for side_px, middle in ((LARGE_PX, height * 2 // 5), (SMALL_PX, height * 7 // 8)):
            logo = render(drawing, side_px)
            panel.paste(logo, ((width - logo.width) // 2, middle - logo.height // 2), logo)
        preview.paste(panel, (number * width, 0))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        preview.save(path, format="PNG")
    except OSError as error:
        raise LogoUnreadable(f"the preview cannot be written to {path}: {error.strerror}") from None
