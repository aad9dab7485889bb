"""Reasons in few words, for many hosts that have one in common; what differs between them is left out.

Used by `folded`. `-o wide` and `-o json` carry each host's own message.
"""

from types import MappingProxyType

SHORT = MappingProxyType(
    {
        "CONNECTION_REFUSED": "connection refused",
        "CONNECT_TIMED_OUT": "connection timed out",
        "NO_ROUTE": "no route",
        "NAME_NOT_FOUND": "the name has no address",
        "NOT_A_FLEET_PORT": "something else listens at the address",
        "NOT_ANSWERING": "no answer",
        "SUPERVISOR_NOT_ANSWERING": "the gateway answers, the supervisor does not",
        "WRONG_NAME": "somebody else answers at the address",
        "UNKNOWN_CA": "a certificate of an unknown CA",
        "CERTIFICATE_EXPIRED": "the certificate has expired",
        "CERTIFICATE_NOT_YET_VALID": "the certificate is not valid yet",
        "CERTIFICATE_REFUSED": "the controller's certificate is refused",
        "OWN_CERTIFICATE_EXPIRED": "the controller's certificate has expired",
        "OWN_CERTIFICATE_NOT_YET_VALID": "the controller's certificate is not valid yet",
        "HOST_REMOVED": "left the inventory",
        "STREAM_ENDED": "the connection was lost",
        "ANSWER_LOST": "the request was sent, and no answer came",
        "DEADLINE_EXCEEDED": "no answer in time",
    }
)
"""Code to words. A code that is not here is told by its message."""
