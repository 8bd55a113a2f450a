"""Lists that leave out no image."""

from collections.abc import Sequence

from glancectl.api import Glance, Image

# Values of the filter ``os_hidden``. In this order one that is shown in between is in both lists;
# in the other one, or in two requests at once, it might be in neither.
HIDDEN = ("true", "false")


def with_hidden(glance: Glance, params: Sequence[tuple[str, str]]) -> list[Image]:
    """Return the images that ``params`` let through, hidden ones too: no one list has both.

    One that was shown in between is there as it is now; one that was hidden may be missing.
    """
    found = [
        image for hidden in HIDDEN for image in glance.list_images([*params, ("os_hidden", hidden)])
    ]
    return list({image["id"]: image for image in found}.values())
