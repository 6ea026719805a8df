"""``portico fetch``: a request made of words, and its answer."""

from __future__ import annotations

from typing import Any

import click

from portico.cli.manners import Command, default_scheme_option, json_option, timeout_option

__all__ = ["fetch"]


@click.command(cls=Command, context_settings={"help_option_names": ["--help"]})
@click.argument("words", nargs=-1, metavar="[METHOD] URL [ITEM...]")
@click.option("--form", "-f", is_flag=True, help="Fields make a form instead of JSON.")
@click.option("--multipart", is_flag=True, help="Fields make a form of parts (multipart/form-data).")
@click.option("--raw", metavar="BODY", help="This text is the body.")
@click.option("--ignore-stdin", "-I", is_flag=True, help="What is piped in is not the body.")
@click.option("--chunked", is_flag=True, help="What is piped in is sent as it comes, in chunks.")
@click.option(
    "--auth",
    "-a",
    metavar="USER:PASSWORD",
    help="Credentials, or a token. Without :PASSWORD it asks. Others see command lines: PORTICO_FETCH_AUTH "
    "is read, too.",
)
@click.option(
    "--auth-type",
    "-A",
    type=click.Choice(["basic", "digest", "bearer"]),
    default="basic",
    show_default=True,
    help="What --auth is.",
)
@click.option("--follow", "-F", is_flag=True, help="Go where redirects lead.")
@click.option(
    "--max-redirects", type=click.IntRange(0), metavar="N", help="And so often at most; with --follow, 20."
)
@click.option(
    "--verify/--no-verify", default=True, help="Whether certificates have to be good.  [default: verify]"
)
@click.option("--ca", metavar="FILE", help="Certificates to trust instead of the system's.")
@click.option("--cert", metavar="FILE", help="Our own certificate, as PEM.")
@click.option("--cert-key", metavar="FILE", help="Its key, if that is in another file.")
@click.option("--proxy", metavar="URL", help="Through a proxy: http://, https://, socks4a://, socks5h://.")
@default_scheme_option()
@click.option(
    "--session", metavar="FILE", help="Keep cookies, header fields and --auth there, and send them."
)
@click.option("--session-read-only", metavar="FILE", help="Send them, and leave the file as it is.")
@click.option("--check", is_flag=True, help="Exit code 22 for an answer that says no (400 and above).")
@click.option("--offline", is_flag=True, help="Print the request as it would be sent, and send nothing.")
@click.option(
    "--verbose", "-v", count=True, help="Print both messages, heads and bodies; -vv: and how long it took."
)
@click.option("--headers", "-h", is_flag=True, help="Print the head of the answer.")
@click.option("--body", "-b", is_flag=True, help="Print the body of the answer.")
@click.option(
    "--print", "-p", metavar="WHAT", help="Letters: HB the request's head and body, hb the answer's, m time."
)
@click.option(
    "--pretty",
    type=click.Choice(["all", "colors", "format", "none"]),
    help="[default: all on a terminal, else none]",
)
@click.option("--stream", "-S", is_flag=True, help="Show documents as they come, not at their end.")
@click.option("--output", "-o", metavar="FILE", help="Into this file instead of stdout.")
@click.option("--download", "-d", is_flag=True, hidden=True)
@timeout_option(None)
@json_option()
def fetch(words: tuple[str, ...], **options: Any) -> None:
    """Send a request, and print the answer: shown on a terminal, as it came into a pipe or a file.

    \b
      portico fetch :8000/people                                GET http://localhost:8000/people
      portico fetch api.example.org/people name=Ada born:=1815  POST JSON, by https
      portico fetch PUT :8000/people/1 X-Token:secret tags[]=a  a header field, and a list
      portico fetch --form :8000/search q==lace page==2         parameters of the query
      portico fetch :8000/pictures title=Me picture@me.png      a form with a file

    \b
    Items, with \\ before a character that is not meant so:
      NAME=TEXT      a field, of JSON or a form   NAME=@FILE    its text is in a file
      NAME:=JSON     JSON as it stands            NAME:=@FILE   it is in a file
      HEADER:VALUE   a header field               HEADER:       it is not sent
      HEADER;        an empty one                 HEADER:@FILE  its value is in a file
      NAME==TEXT     a parameter of the query     NAME==@FILE   its value is in a file
      NAME@FILE      a file of a form             @FILE         the file is the body
      NAME@FILE;type=TYPE
      a[b][]=1, a[0]=1, []=1: objects and lists of JSON

    Exit code 0, whatever the server says; with --check 22 if it says no. 2 wrong usage, 6 no such host, 7 no
    connection, 18 an answer that was cut, 28 too late, 60 a bad certificate …
    """  # fmt: skip
    if not words:
        raise click.UsageError("name a URL")
    if options["download"]:
        raise click.UsageError("'portico get URL' downloads files; -o FILE keeps this answer")
    from portico.cli.fetch_run import run  # the client, which --help does without

    run(words, options)
