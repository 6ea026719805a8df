"""Real servers and proxies, each for as long as a ``with`` block: on the loopback, at free ports.

They are killed at the end, with all their helpers: some take seconds to end as they are asked to.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.peers import need
from tests.ports import free_port

__all__ = [
    "FOREIGN",
    "LARGE",
    "LOGIN",
    "PAGE",
    "Members",
    "apache",
    "dante",
    "httpbin",
    "microsocks",
    "nginx",
    "nginx_for_members",
    "squid",
    "tinyproxy",
]

LOGIN = ("joe", "secret")
FOREIGN = ("jürgen", "geheim: ß")
PAGE = b"".join(b"line %d of a page that is worth packing\n" % number for number in range(2000))
LARGE = 8 << 20
"""Bytes of the file ``large``."""


@contextlib.contextmanager
def running(*command: str | Path, port: int) -> Iterator[None]:
    """A program that listens at a port, and stays in front."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 20
    try:
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{command[0]} does not listen: {_ended(process)[-2000:]!r}")
            time.sleep(0.01)
        yield
    finally:
        _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> bytes:
    """What it has said, once it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return b"" if process.stdout is None or process.stdout.closed else process.communicate()[0]


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Members(NamedTuple):
    """A server for members: its URL; and a folder with ``ca.pem``, which vouches for it, a member's
    ``joe.pem`` (or ``joe.crt`` and ``joe.key``), and ``eve.pem`` of somebody else."""

    url: str
    folder: Path


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder that programs may read that do not stay root; pytest's own are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="portico-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _fill(folder: Path) -> None:
    """Files to be served."""
    root = folder / "root"
    for place in (root, root / "basic", root / "digest"):
        place.mkdir()
        place.chmod(0o777)  # for what is put there
        (place / "page.txt").write_bytes(PAGE)
    (root / "large").write_bytes(bytes(LARGE))


# -- servers


@contextlib.contextmanager
def httpbin() -> Iterator[str]:
    """httpbin, on Portico in a process of its own: tests look at the threads and figures of theirs."""
    port = free_port()
    with running(
        sys.executable, "-m", "portico", "serve", "httpbin:app", "--at", f"http://127.0.0.1:{port}", port=port
    ):
        yield f"http://127.0.0.1:{port}"


def _htdigest(*users: tuple[str, str], realm: str) -> str:
    """Lines of a file of Digest's secrets: MD5 of name, realm and password."""
    lines = []
    for user, password in users:
        key = hashlib.md5(f"{user}:{realm}:{password}".encode()).hexdigest()
        lines.append(f"{user}:{realm}:{key}\n")
    return "".join(lines)


def _plain(*users: tuple[str, str]) -> str:
    """Lines of a file of Basic's passwords, as nginx and Apache both read them."""
    lines = []
    for user, password in users:
        salted = hashlib.sha1(password.encode()).digest()
        lines.append(f"{user}:{{SHA}}{base64.b64encode(salted).decode()}\n")
    return "".join(lines)


MODULES = (
    "authn_core authn_file authz_core authz_user auth_basic auth_digest mime filter deflate alias dav dav_fs"
)
APACHE = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
Mutex posixsem
ErrorLog {folder}/error.log
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
{load}
StartServers 1
ServerLimit 2
ThreadsPerChild 16
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
DocumentRoot {folder}/root
KeepAliveTimeout 30
AddOutputFilterByType DEFLATE text/plain
TypesConfig /dev/null
AddType text/plain .txt
RedirectMatch 302 ^/hop/1$ /page.txt
RedirectMatch 307 ^/hop/([23])$ /hop/1
DavLockDB {folder}/locks/db
<Directory {folder}/root>
  Dav On
  Require all granted
</Directory>
<Location /basic>
  AuthType Basic
  AuthName basic
  AuthUserFile {folder}/plain
  Require valid-user
</Location>
<Location /digest>
  AuthType Digest
  AuthName "{realm}"
  AuthDigestDomain /digest
  AuthUserFile {folder}/digest
  {lifetime}
  Require valid-user
</Location>
"""


@contextlib.contextmanager
def apache(*users: tuple[str, str], realm: str = "staff", lifetime: str = "") -> Iterator[str]:
    """Apache: files, WebDAV, ``/basic`` and ``/digest``. Gives its URL."""
    modules = Path("/usr/lib/apache2/modules")
    load = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in MODULES.split())
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    with _folder() as folder:
        port = free_port()
        _fill(folder)
        (folder / "plain").write_text(_plain(*users))
        (folder / "digest").write_text(_htdigest(*users, realm=realm))
        (folder / "locks").mkdir()
        (folder / "locks").chmod(0o777)
        (folder / "apache.conf").write_text(
            APACHE.format(
                folder=folder,
                port=port,
                user=user,
                modules=modules,
                load=load,
                realm=realm,
                lifetime=lifetime,
            )
        )
        with running(need("apache2"), "-f", folder / "apache.conf", "-DFOREGROUND", port=port):
            yield f"http://127.0.0.1:{port}"


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    client_max_body_size 64m; default_type text/plain; keepalive_timeout 30s;
    gzip on; gzip_types text/plain; gzip_min_length 100;
    server {{
        listen 127.0.0.1:{port}; root {folder}/root;
        location = /hop/1 {{ return 302 /page.txt; }}
        location ~ ^/hop/[23]$ {{ return 307 /hop/1; }}
        location = /set {{ add_header Set-Cookie "a=1; Path=/"; add_header Set-Cookie "b=2; Path=/got";
                          return 302 /got; }}
        location = /got {{ return 200 $http_cookie; }}
        location /basic {{ auth_basic "nginx"; auth_basic_user_file {folder}/plain; }}
        location = /length {{ proxy_pass http://127.0.0.1:{port}/told;
                             proxy_set_header X-Length $content_length; }}
        location = /told {{ return 200 $http_x_length; }}
        location = /refused {{ client_max_body_size 1k; proxy_pass http://127.0.0.1:{port}/told; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(*users: tuple[str, str]) -> Iterator[str]:
    """nginx: files, redirects, cookies, ``/basic``. Gives its URL."""
    with _folder() as folder:
        port = free_port()
        _fill(folder)
        (folder / "plain").write_text(_plain(*users))
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
        with running(need("nginx"), "-p", folder, "-c", "nginx.conf", "-e", "stderr", port=port):
            yield f"http://127.0.0.1:{port}"


NGINX_FOR_MEMBERS = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    default_type text/plain; keepalive_timeout 30s;
    server {{
        listen 127.0.0.1:{port} ssl; ssl_protocols {protocols};
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
        ssl_verify_client on; ssl_client_certificate {folder}/members.pem;
        location / {{ return 200 "$ssl_client_verify $ssl_client_s_dn"; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx_for_members(protocols: str) -> Iterator[Members]:
    """nginx, which lets in whoever has a certificate of a certain authority."""
    ours, members, strangers = (
        trustme.CA(organization_name=name) for name in ("ours", "members", "strangers")
    )
    with _folder() as folder:
        port = free_port()
        ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        ours.cert_pem.write_to_path(folder / "ca.pem")
        members.cert_pem.write_to_path(folder / "members.pem")
        joe = members.issue_cert("joe@example.org", common_name="Joe")
        joe.private_key_and_cert_chain_pem.write_to_path(folder / "joe.pem")
        joe.cert_chain_pems[0].write_to_path(folder / "joe.crt")
        joe.private_key_pem.write_to_path(folder / "joe.key")
        eve = strangers.issue_cert("eve@example.org", common_name="Eve")
        eve.private_key_and_cert_chain_pem.write_to_path(folder / "eve.pem")
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            NGINX_FOR_MEMBERS.format(folder=folder, port=port, user=user, protocols=protocols)
        )
        with running(need("nginx"), "-p", folder, "-c", "nginx.conf", "-e", "stderr", port=port):
            yield Members(f"https://127.0.0.1:{port}", folder)


# -- proxies

SQUID = """
http_port 127.0.0.1:{port}
{auth}
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
cache_mem 1 MB
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
visible_hostname test
pinger_enable off
netdb_filename none
max_filedescriptors 1024
dns_nameservers 127.0.0.1
"""
_HELPERS = "/usr/lib/squid"

DANTE = """
logoutput: /dev/null
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
"""


@contextlib.contextmanager
def squid(kind: str) -> Iterator[str]:
    """squid, which wants ``LOGIN`` by ``"basic"`` or ``"digest"``. Gives host and port."""
    with _folder() as folder:
        port = free_port()
        if kind == "basic":
            key = subprocess.check_output([need("openssl"), "passwd", "-apr1", LOGIN[1]], text=True)
            (folder / "users").write_text(f"{LOGIN[0]}:{key}")
            program = f"{_HELPERS}/basic_ncsa_auth {folder}/users"
        else:
            (folder / "users").write_text(_htdigest(LOGIN, realm="squid"))
            program = f"{_HELPERS}/digest_file_auth -c {folder}/users"
        settings = (f"program {program}", "children 2 startup=1 idle=1", "realm squid")
        auth = "\n".join(f"auth_param {kind} {setting}" for setting in settings)
        (folder / "squid.conf").write_text(SQUID.format(port=port, auth=auth))
        with running(need("squid"), "-N", "-f", folder / "squid.conf", port=port):
            yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def tinyproxy() -> Iterator[str]:
    """tinyproxy, which wants ``LOGIN``. Gives host and port."""
    with _folder() as folder:
        port = free_port()
        (folder / "tiny.conf").write_text(
            f"Port {port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth {LOGIN[0]} {LOGIN[1]}\nLogLevel Critical\n"
            f'LogFile "{folder}/tiny.log"\nMaxClients 50\n'
        )
        with running(need("tinyproxy"), "-d", "-c", folder / "tiny.conf", port=port):
            yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def microsocks(*login: str) -> Iterator[str]:
    """microsocks, SOCKS 5. Gives host and port."""
    port = free_port()
    options = ("-u", login[0], "-P", login[1]) if login else ()
    with running(need("microsocks"), "-i", "127.0.0.1", "-p", str(port), *options, port=port):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def dante() -> Iterator[str]:
    """Dante, SOCKS 4 and 5. Gives host and port."""
    with _folder() as folder:
        port = free_port()
        (folder / "dante.conf").write_text(DANTE.format(port=port))
        with running(need("danted"), "-f", folder / "dante.conf", port=port):
            yield f"127.0.0.1:{port}"
