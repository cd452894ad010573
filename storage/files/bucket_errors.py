"""What a bucket answered, in one sentence.

An answer's text may name an access key, so a sentence has its status and code only.
obstore gives them nowhere but in the text of its errors.
"""

import os
import re

from storage.errors import ImageStoreError
from storage.image_address import BucketAddress

#: Any of them says which credentials are used; without, it is the machine's role.
_CREDENTIALS = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SKIP_SIGNATURE",
    ),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_ID"),
}
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_DENIED = (
    "allow its use",
    "give its credentials the rights to list, get, put and delete objects",
)
#: What a bucket must do, by the status of its answer, and the way out.
_RULES = {
    "401": _DENIED,
    "403": _DENIED,
    "404": ("be there", "create it, or correct NIGHTSWEEP_IMAGES"),
}
_OTHER_RULE = (
    "answer",
    "check the network and the endpoint; the work goes on by itself",
)


def error_of(exc: Exception, address: BucketAddress) -> ImageStoreError:
    """Return the error that tells of one of obstore's; do not chain the two.

    Args:
        exc: What obstore raised.
        address: Of the bucket.
    """
    status = _STATUS.search(str(exc))
    code = _CODE.search(str(exc))
    said = " ".join(found[1] for found in (status, code) if found) or "no answer"
    rule, way_out = _RULES.get(status[1] if status else "", _OTHER_RULE)
    msg = (
        f"The bucket of the images must {rule}, but {address} gives: "
        f"{said}{_hint(address)}; {way_out}."
    )
    return ImageStoreError(msg)


def _hint(address: BucketAddress) -> str:
    names = _CREDENTIALS[address.scheme]
    if any(os.environ.get(name) for name in names):
        return ""
    return f" ({names[0]} is not set, so the role of this machine is used)"
