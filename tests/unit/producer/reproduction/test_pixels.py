from PIL import Image

from producer.reproduction.pixels import Difference, compare


def make_image(*pixels: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (len(pixels), 1))
    image.putdata(pixels)
    return image


def test_equal_images_do_not_differ() -> None:
    image = make_image((0, 0, 0), (255, 1, 2))
    assert compare(image, image.copy()) == Difference(most=0, mean=0.0, share=0.0)


def test_a_difference_counts_levels_of_channels_and_pixels() -> None:
    one = make_image((10, 10, 10), (0, 0, 0), (255, 0, 7), (1, 1, 1))
    other = make_image((10, 13, 10), (0, 0, 0), (0, 0, 7), (1, 1, 1))
    assert compare(one, other) == Difference(most=255, mean=258 / 12, share=0.5)


def test_one_level_of_one_channel_is_seen() -> None:
    black, other = make_image((0, 0, 0)), make_image((0, 0, 1))
    assert compare(black, other) == Difference(most=1, mean=1 / 3, share=1.0)
