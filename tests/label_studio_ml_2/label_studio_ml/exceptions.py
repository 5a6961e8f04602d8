"""Answers of the server to what its models raise."""

import functools
import traceback

from flask import jsonify, make_response, request


def _answer(status, detail, result):
    return make_response(jsonify(status=status, detail=detail, request=request.args, result=result), status)


class AnswerException(Exception):  # noqa: N818
    def __init__(self, status, msg="", result=None):
        super().__init__(msg)
        self.status, self.msg, self.result = status, msg, result
        self.answer = _answer(status, msg, result)


def exception_handler(route):
    @functools.wraps(route)
    def handled(*args, **kwargs):
        try:
            return route(*args, **kwargs)
        except AnswerException as error:
            error.result.setdefault("traceback", traceback.format_exc())
            return _answer(error.status, error.msg, error.result)
        except Exception as error:
            return _answer(500, f"{type(error).__name__}: {error}", {"traceback": traceback.format_exc()})

    return handled
