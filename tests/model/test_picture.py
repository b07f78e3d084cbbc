import io

import numpy as np
import pytest
from PIL import Image

from model.errors import ModelInputError
from model.picture import decode_picture
from tests.model.rows import jpeg


@pytest.mark.parametrize(("height", "width"), [(768, 594), (90, 60), (33, 700)], ids=["page", "smaller", "wide"])
def test_size_type_and_content(height: int, width: int) -> None:
    data = jpeg(height, width)
    pixels = decode_picture(data, 128, 96)
    assert pixels.shape == (3, 128, 96)
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    # The reference decodes the picture whole; the fast way may differ a little at edges.
    whole = np.asarray(Image.open(io.BytesIO(data)).resize((96, 128), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(pixels.astype(int) - whole.astype(int)).mean() < 6


def test_the_first_row_is_the_pages_top_and_channels_are_rgb() -> None:
    page = np.zeros((200, 100, 3), np.uint8)
    page[:100] = (255, 0, 0)
    page[100:] = (0, 0, 255)
    file = io.BytesIO()
    Image.fromarray(page).save(file, "JPEG", quality=95)
    pixels = decode_picture(file.getvalue(), 20, 10)
    assert pixels[:, 2, 5].tolist() == pytest.approx([254, 0, 0], abs=8)
    assert pixels[:, 17, 5].tolist() == pytest.approx([0, 0, 254], abs=8)


def test_a_grey_picture_has_three_channels() -> None:
    file = io.BytesIO()
    Image.new("L", (50, 70), 128).save(file, "JPEG")
    assert decode_picture(file.getvalue(), 16, 16).shape == (3, 16, 16)


@pytest.mark.parametrize("data", [b"", b"not a picture", jpeg(60, 40)[:200]], ids=["empty", "other", "truncated"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ModelInputError, match="cannot be decoded"):
        decode_picture(data, 16, 16)
