"""Ask the EC2 metadata service for the state of a role.

boto3 reports "no credentials" both when the metadata service fails and when the machine has none.
The first is transient, the second is not.
"""

import os
import urllib.error
import urllib.request

import botocore.session

DEFAULT_ENDPOINT = "http://169.254.169.254"
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
TIMEOUT_SECONDS = 1.0


def metadata_service_fails() -> bool:
    """Tell whether the EC2 metadata service answers with a 5xx or 429.

    Returns:
        False if nothing answers, or if AWS_EC2_METADATA_DISABLED is ``true``: then no request is made.
    """
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":  # as botocore reads it
        return False
    endpoint = botocore.session.get_session().get_config_variable("ec2_metadata_service_endpoint") or DEFAULT_ENDPOINT
    if not endpoint.startswith("http"):
        return False
    # Without a proxy, because the address is local to the machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(endpoint.rstrip("/") + ROLE_PATH, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code == 429 or answer.code >= 500
    except OSError:
        return False
    return False
