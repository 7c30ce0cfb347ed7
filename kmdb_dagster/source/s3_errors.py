"""Which errors of S3 are transient, and which permanent: by error code, and by exception of botocore.

An error is permanent for all objects, permanent for one object, or transient. The HTTP status decides for a code that
is in no table: 5xx, 408 and 429 are transient, any other status is permanent for the object.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto

from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.source.bucket import BucketUnusableError, ObjectChangedError, ObjectUnreadableError
from kmdb_dagster.source.roles import metadata_service_fails

EXPIRED = (
    "the credentials have expired or are invalid. Set new ones: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for "
    "temporary credentials, AWS_SESSION_TOKEN"
)
DENIED = "access denied: the credentials need s3:ListBucket on the bucket and s3:GetObject on its objects"
ELSEWHERE = "the bucket is in another region: see AWS_DEFAULT_REGION"
KMS_KEY = "its KMS key cannot be used. Enable the key and allow kms:Decrypt"
ROLE = (
    "the credentials of the role cannot be fetched. If this persists, check the role of the instance or task, and its "
    "metadata service (in a container: a hop limit of 2). Or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
NO_CREDENTIALS = (
    "no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or attach a role to the instance or task"
)

BUCKET_CODES = {
    "NoSuchBucket": "there is no such bucket: see AWS_BUCKET and AWS_ENDPOINT_URL",
    "InvalidBucketName": "S3 does not allow this bucket name. See AWS_BUCKET",
    "AllAccessDisabled": "S3 has disabled the bucket: ask AWS support",
    "AccountProblem": "S3 refuses the account of these credentials: ask AWS support",
    "NotSignedUp": "the account of these credentials is not signed up for S3",
    "InvalidAccessKeyId": "S3 does not know this AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID",
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "InvalidToken": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "RequestExpired": EXPIRED,
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "PermanentRedirect": ELSEWHERE,
    "301": ELSEWHERE,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "IllegalLocationConstraintException": ELSEWHERE,
}
"""Permanent for all objects, with what to do."""

OBJECT_CODES = {
    "InvalidObjectState": "it is in an archive (Glacier): restore it there first",
    "KMS.DisabledException": KMS_KEY,
    "KMS.NotFoundException": KMS_KEY,
    "KMS.KMSInvalidStateException": KMS_KEY,
    "KMS.InvalidKeyUsageException": KMS_KEY,
    "MethodNotAllowed": "it is a delete marker, or S3 allows no GET for it. Put the object back",
}
"""Permanent for one object, with what to do."""

DENIED_CODES = {"AccessDenied", "403"}
"""Permanent for one object. S3 also sends it for a missing object."""

TRANSIENT_CODES = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "TooManyRequests",
    "TooManyRequestsException",
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "TemporaryRedirect",
    "KMS.KMSInternalException",
    "KMS.ThrottlingException",
    "KMS.DependencyTimeoutException",
}
"""Transient, whatever the HTTP status."""

TRANSIENT_STATUSES = {200, 408, 429}

CONNECTION_ERRORS = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
ROLE_ERRORS = (boto.CredentialRetrievalError, boto.MetadataRetrievalError)
LOGIN_ERRORS = (boto.SSOError, boto.LoginError, boto.NoAuthTokenError, boto.TokenRetrievalError)


class NotFoundError(PermanentError):
    """The object does not exist."""


@contextmanager
def translate_s3_errors(bucket: str, key: str = "") -> Iterator[None]:
    """Raise errors of S3 as permanent or transient errors of this package.

    Args:
        bucket: the URL of the bucket, for the message.
        key: the object. Empty for a request about the whole bucket.
    """
    place = f"{bucket}/{key}"
    try:
        yield
    except boto.ClientError as error:
        raise _of_answer(error, place, about_object=bool(key)) from error
    except boto.BotoCoreError as error:
        raise _of_exception(error, place) from error


def code_of(error: boto.ClientError) -> str:
    """Return S3's error code. A HEAD response has only its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _of_answer(error: boto.ClientError, place: str, *, about_object: bool) -> KmdbError:
    code = code_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in {"412", "PreconditionFailed", "416", "InvalidRange"}:
        return ObjectChangedError(place)
    if code in {"404", "NoSuchKey"}:
        return NotFoundError(f"{place} does not exist")
    if code in TRANSIENT_CODES or status >= 500 or status in TRANSIENT_STATUSES:
        return TransientError(f"{place}: S3 answered {code}")
    if error.operation_name.startswith("AssumeRole"):
        return BucketUnusableError(f"{place}: the role cannot be assumed ({code}). Check its trust policy.")
    if code in BUCKET_CODES:
        return BucketUnusableError(f"{place}: {BUCKET_CODES[code]}")
    return _of_refusal(code, status, place, about_object=about_object)


def _of_refusal(code: str, status: int, place: str, *, about_object: bool) -> PermanentError:
    if code in DENIED_CODES:
        return (PermanentError if about_object else BucketUnusableError)(f"{place}: {DENIED}")
    advice = OBJECT_CODES.get(code, f"S3 refuses it ({code}, HTTP {status}). Look up the code in the S3 documentation")
    return (ObjectUnreadableError if about_object else BucketUnusableError)(f"{place}: {advice}")


def _of_exception(error: boto.BotoCoreError, place: str) -> KmdbError:
    if isinstance(error, boto.SSLError):
        return BucketUnusableError(
            f"{place}: its TLS certificate is not trusted. Set AWS_CA_BUNDLE to a file of trusted certificates."
        )
    if isinstance(error, CONNECTION_ERRORS):
        return TransientError(
            f"{place}: the connection to S3 failed ({type(error).__name__}). If this persists, check the "
            "network and AWS_ENDPOINT_URL."
        )
    if isinstance(error, ROLE_ERRORS) or (isinstance(error, boto.NoCredentialsError) and metadata_service_fails()):
        return TransientError(f"{place}: {ROLE}.")
    return BucketUnusableError(f"{place}: {_of_configuration(error)}.")


def _of_configuration(error: boto.BotoCoreError) -> str:
    if isinstance(error, boto.NoCredentialsError):
        return NO_CREDENTIALS
    if isinstance(error, boto.PartialCredentialsError):
        return "half of the credentials is missing. Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, boto.ParamValidationError):
        return "S3 does not allow this bucket name. See AWS_BUCKET"
    if isinstance(error, LOGIN_ERRORS):
        return "the login has expired. Run `aws sso login` (or `aws login`) as this user"
    return f"boto3 cannot use its configuration ({type(error).__name__}). Check AWS_PROFILE and ~/.aws/config"
