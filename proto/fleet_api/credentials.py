"""What a party shows and trusts when it connects. Made by `tls`, which checks it; used by `channel`."""

from typing import NamedTuple

from fleet_api.identity import Identity


class Credentials(NamedTuple):
    """PEM bytes and who they speak for. The key is hidden from `repr`."""

    certificate: bytes
    key: bytes
    ca: bytes
    identity: Identity

    def __repr__(self) -> str:
        return f"Credentials({self.identity.uri})"
