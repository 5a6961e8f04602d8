"""Tokens as Label Studio hands them out."""

import time

import jwt

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def make_jwt(token_type, *, expires_in=3600, **claims):
    end = int(time.time()) + expires_in
    return jwt.encode({"token_type": token_type, "exp": end, **claims}, "k" * 32, algorithm="HS256")
