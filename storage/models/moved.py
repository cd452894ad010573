"""Models that left the Hub, and where the same files are now.

The Hub itself redirects a repository that was renamed. These were deleted: RunwayML's
in August 2024, Stability AI's in November 2025. Others have put copies there.
"""

from collections.abc import Mapping

#: The id of a deleted repository, and that of the copy which most people use.
SUCCESSORS: Mapping[str, str] = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-inpainting": (
        "stable-diffusion-v1-5/stable-diffusion-inpainting"
    ),
    **{
        f"stabilityai/{name}": f"sd2-community/{name}"
        for name in (
            "stable-diffusion-2",
            "stable-diffusion-2-base",
            "stable-diffusion-2-inpainting",
            "stable-diffusion-2-1",
            "stable-diffusion-2-1-base",
        )
    },
}


def explain_moved(name: str) -> str:
    """Say that a model in `SUCCESSORS` left the Hub, and which to name instead."""
    return (
        f"a model must be on the Hub, or whole in its cache here, but {name} was"
        f" deleted; name its copy, {SUCCESSORS[name]}"
    )
