"""Talks: gRPC to controllers and operators, as an unprivileged process that owns nothing."""
