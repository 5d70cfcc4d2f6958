"""A logo as people will see it: large and small, on white and on grey, side by side."""

from pathlib import Path

from PIL import Image

from ops.logo.drawing import LogoUnreadable

BACKGROUNDS = ("#ffffff", "#9ca3af")
PANEL_PX = (480, 480)
LARGE_PX = 320
SMALL_PX = 64


def write_preview(picture: Image.Image, path: Path) -> None:
    """Write the PNG of a rendered logo, its folder included. Raises LogoUnreadable if it cannot be written there."""
    width, height = PANEL_PX
    preview = Image.new("RGB", (width * len(BACKGROUNDS), height))
    for number, background in enumerate(BACKGROUNDS):
        panel = Image.new("RGB", PANEL_PX, background)
        for side_px, middle in ((LARGE_PX, height * 2 // 5), (SMALL_PX, height * 7 // 8)):
            logo = picture.copy()
            logo.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
            panel.paste(logo, ((width - logo.width) // 2, middle - logo.height // 2), logo)
        preview.paste(panel, (number * width, 0))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        preview.save(path, format="PNG")
    except OSError as error:
        raise LogoUnreadable(f"the preview cannot be written to {path}: {error.strerror}") from None
