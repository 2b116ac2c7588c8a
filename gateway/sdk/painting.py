"""What an adapter of pictures needs: what is asked for, and how what was made is handed over."""

from gateway.sdk.painted import (
    Made,
    Picture,
    fetched,
    image_usage,
    nothing_made,
    once_more,
    pictures_reply,
)
from gateway.sdk.picture_wire import picture_operation
from gateway.sdk.pictures import (
    PictureWish,
    batches,
    data_of,
    expected_pictures,
    is_shape,
    lose_others,
    pictures_request,
    pixels_of,
    references,
    refuse_transparent,
    shape_of,
    wish_of,
    with_count,
)

__all__ = [
    "Made",
    "Picture",
    "PictureWish",
    "batches",
    "data_of",
    "expected_pictures",
    "fetched",
    "image_usage",
    "is_shape",
    "lose_others",
    "nothing_made",
    "once_more",
    "picture_operation",
    "pictures_reply",
    "pictures_request",
    "pixels_of",
    "references",
    "refuse_transparent",
    "shape_of",
    "wish_of",
    "with_count",
]
