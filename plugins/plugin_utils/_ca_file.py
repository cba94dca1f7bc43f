# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a CA file of the controller, and say precisely why it cannot be read.

**PRIVATE** to the collection. Controller only.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of, shown
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import MAX_PEM_BYTES


class CaFileError(TrustError):
    """The CA file cannot be read."""


def read_ca_file(
    path: Any, find_file: Callable[[str], str] = str, option: str = "ca_file"
) -> tuple[str, bytes]:
    """Where the file really lies, and what it holds. option is the key that names it."""
    found = find_file(checked_path(path, option))
    return found, _read(found)


def checked_path(path: Any, option: str) -> str:
    """The path of a file as a user wrote it, if it can be one."""
    text_option = option.replace("_file", "_pem")
    if not isinstance(path, str) or not path.strip():
        raise CaFileError(
            f"The option {option} is empty or not a text.",
            reason="ca_file_invalid",
            found="an empty text" if isinstance(path, str) else kind_of(path),
            expected="the path of a file on the controller",
            next_step=f"Give the path, or remove the option and use {text_option}",
        )
    if "-----BEGIN" in path:
        raise CaFileError(
            f"The option {option} holds text instead of a path. It is not shown.",
            reason="ca_file_invalid",
            found="a PEM block",
            expected="the path of a file on the controller",
            next_step=f"Rename the option to {text_option}",
        )
    if "://" in path:
        raise CaFileError(
            f"The option {option} holds an address of the network. Nothing is fetched unchecked.",
            reason="ca_file_invalid",
            found=shown(path),
            expected="the path of a file on the controller",
            next_step="Download the file, check its fingerprint with the owner of the CA, and give the path",
        )
    if not path.isprintable():
        raise CaFileError(
            f"The path in {option} contains control characters.",
            reason="ca_file_invalid",
            found=ascii(path[:200]),
            expected="the path of a file on the controller",
            next_step="Write the path again by hand",
        )
    return path


def _read(path: str) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise CaFileError(
                f"{path} is a directory.",
                reason="ca_file_directory",
                path=path,
                found="a directory",
                expected="a file with the CA certificate",
                next_step="Name the file in it",
            )
        # A pipe or a device may block for ever or never end.
        if not stat.S_ISREG(status.st_mode):
            raise CaFileError(
                f"{path} is not a regular file.",
                reason="ca_file_invalid",
                path=path,
                found="a pipe, a device or a socket",
                expected="a file with the CA certificate",
                next_step="Save the certificate to a file, or give its text as ca_pem",
            )
        if status.st_size > MAX_PEM_BYTES:
            raise CaFileError(
                f"{path} is too large for a CA bundle. It was not read.",
                reason="pem_too_large",
                path=path,
                found=f"{status.st_size} bytes",
                expected=f"at most {MAX_PEM_BYTES} bytes; a CA certificate has about 2000",
                next_step="Check that this is the CA file and not an archive or an image",
            )
        with open(path, "rb") as file:
            data = file.read(MAX_PEM_BYTES + 1)
    except FileNotFoundError:
        raise missing(path) from None
    except PermissionError:
        raise CaFileError(
            f"{path} may not be read by the user who runs Ansible.",
            reason="ca_file_unreadable",
            path=path,
            found="permission denied",
            expected="a readable file; a CA certificate is no secret",
            next_step=f"Run chmod a+r on it, and check the directories above: namei -l {shlex.quote(path)}",
        ) from None
    except OSError as error:
        raise CaFileError(
            f"{path} cannot be read.",
            reason="ca_file_unreadable",
            path=path,
            found=error.strerror,
            expected="a readable file",
            next_step="Look at the file with ls -l and cat on the controller",
        ) from None
    if data.startswith(b"$ANSIBLE_VAULT"):
        raise CaFileError(
            f"{path} is encrypted with Ansible Vault.",
            reason="ca_file_encrypted",
            path=path,
            found="$ANSIBLE_VAULT at its beginning",
            expected="the plain certificate; it is no secret",
            next_step=f"Run ansible-vault decrypt {shlex.quote(path)}",
        )
    return data


def missing(path: str, searched: list[str] | None = None) -> CaFileError:
    """The failure for a file that is nowhere."""
    return CaFileError(
        f"The CA file {path} does not exist on the controller.",
        reason="ca_file_missing",
        path=path,
        found=f"nothing in {', '.join(searched)}" if searched else f"nothing at {path}",
        expected="a file with the CA certificate",
        next_step="Copy the CA to that place, or correct ca_file; an absolute path is never searched for",
    )
