"""Whether the service that hands out credentials of an EC2 role is failing.

boto3 reports a failing metadata service and a machine without one alike, as "no credentials".
"""

import urllib.error
import urllib.request

import botocore.session

DEFAULT_ENDPOINT = "http://169.254.169.254"
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
TIMEOUT_SECONDS = 1.0


def metadata_service_fails() -> bool:
    """Ask the metadata service of EC2 for its role. True if it answers with a 5xx or 429, False if nothing answers."""
    endpoint = botocore.session.get_session().get_config_variable("ec2_metadata_service_endpoint") or DEFAULT_ENDPOINT
    if not endpoint.startswith("http"):
        return False
    # No proxy: the address is local to the machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(endpoint.rstrip("/") + ROLE_PATH, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code == 429 or answer.code >= 500
    except OSError:
        return False
    return False
