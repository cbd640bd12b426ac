"""Reading images, mattes and trimaps of any format, and writing them."""

from p3m_lightning.images.decoding import (
    DeepImage,
    declared_pixels,
    image_header,
    open_image,
    pixel_limit,
    read_deep,
)
from p3m_lightning.images.mattes import (
    check_matte,
    read_codes,
    read_matte,
    read_trimap,
    trimap_classes,
)
from p3m_lightning.images.names import (
    IMAGE_SUFFIXES,
    images_by_stem,
    is_image_name,
    list_images,
    tell_left_out,
)
from p3m_lightning.images.photographs import (
    Photo,
    Source,
    is_upright,
    read_image,
    read_photo,
    rgb_pixels,
    upright,
    write_image,
)
from p3m_lightning.images.pixels import from_unit, strips, to_uint8, to_unit

__all__ = [
    "IMAGE_SUFFIXES",
    "DeepImage",
    "Photo",
    "Source",
    "check_matte",
    "declared_pixels",
    "from_unit",
    "image_header",
    "images_by_stem",
    "is_image_name",
    "is_upright",
    "list_images",
    "open_image",
    "pixel_limit",
    "read_codes",
    "read_deep",
    "read_image",
    "read_matte",
    "read_photo",
    "read_trimap",
    "rgb_pixels",
    "strips",
    "tell_left_out",
    "to_uint8",
    "to_unit",
    "trimap_classes",
    "upright",
    "write_image",
]
