"""Whom an agent serves, and under which name a change is written down. Called by `main` and `service`."""

from fleet_api.identity import Identity, Role

ROLES = frozenset({Role.CONTROLLER, Role.OPERATOR})
"""Never another agent: the key of one host must not command its neighbours."""


def actor(peer: Identity | None, stated: str) -> str:
    """Who asks for a change: the certificate first, then what it vouches for."""
    if peer is None:
        return f"anonymous/{stated}" if stated else "anonymous"
    if peer.role is Role.CONTROLLER and stated:
        return f"{peer}/{stated}"
    # An operator speaks for nobody else.
    return str(peer)
