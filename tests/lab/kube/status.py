# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's API server answers when it says no: Status objects, as the real one sends them."""

from __future__ import annotations

from typing import Any


class StatusError(Exception):
    """An answer that is not a success."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.metadata = metadata or {}
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(user: str, verb: str, resource: str, group: str, name: str, why: str = "") -> StatusError:
    plain, _slash, sub = resource.partition("/")
    target = f"{plain}.{group}" if group else plain
    label = f'{target} "{name}"' if name else target
    scope = f"{plain}/{sub}" if sub else plain
    message = (
        f'{label} is forbidden: User "{user}" cannot {verb} resource "{scope}" '
        f'in API group "{group}" at the cluster scope'
    )
    if why:
        message = f"{label} is forbidden: {why}"
    return StatusError(403, "Forbidden", message, details={"name": name, "group": group, "kind": plain})


def not_found(resource: str, name: str) -> StatusError:
    return StatusError(
        404, "NotFound", f'{resource} "{name}" not found', details={"name": name, "kind": resource}
    )


def no_such_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> StatusError:
    return StatusError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def conflict(resource: str, name: str) -> StatusError:
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        details={"name": name, "kind": resource},
    )


def already_exists(resource: str, name: str) -> StatusError:
    return StatusError(
        409, "AlreadyExists", f'{resource} "{name}" already exists', details={"name": name, "kind": resource}
    )


def expired(token: str) -> StatusError:
    return StatusError(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter, or use the continue token in this response to retrieve the "
        "remainder of the results. Continuing with the provided token results in an inconsistent list.",
        metadata={"continue": token},
    )


def unsupported_media_type(found: str, known: list[str]) -> StatusError:
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format ({found}) - accepted media types include: "
        + ", ".join(known),
    )


def invalid(resource: str, name: str, field: str, why: str) -> StatusError:
    return StatusError(
        422,
        "Invalid",
        f'{resource} "{name}" is invalid: {field}: {why}',
        details={"name": name, "kind": resource, "causes": [{"message": why, "field": field}]},
    )
