"""Check what was typed: a parser that reports a wrong call in one line, and the types of the options.

The registries of attention mechanisms, decoders and encoders are imported only when an option names one, because that
takes longer than `companion --help` may.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line on standard error: which command, what is wrong, where help is.

    A command of its own is a parser with a default for `run`. It refuses every option that it does not have by its own
    name, before it asks for one that is missing. Its default for `check`, if it has one, is a function of the parsed
    options that raises ValueError if they do not go together.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, except that nothing unknown is left over. Exits with status 2 on a wrong call."""
        args = sys.argv[1:] if args is None else list(args)
        if self.get_default("run"):
            self.refuse(self.unknown_options(args))
        options, unknown = super().parse_known_args(args, namespace)
        self.refuse(unknown)
        check: Callable[[argparse.Namespace], None] | None = self.get_default("check")
        if check:
            try:
                check(options)
            except ValueError as error:
                self.error(str(error))
        return options, []

    def unknown_options(self, args: Iterable[str]) -> list[str]:
        """Return the arguments that are written like an option, of which the parser has none by that name."""
        before_dashes = takewhile(lambda arg: arg != "--", args)  # after it, everything is a file or a folder
        names = [arg.partition("=")[0] for arg in before_dashes if arg.startswith("--") and " " not in arg]
        return [name for name in names if not any(known.startswith(name) for known in self._option_string_actions)]

    def refuse(self, arguments: Sequence[str]) -> None:
        """Exit with status 2 if there are any of these arguments, which the parser does not know."""
        if arguments:
            self.error(f"unrecognized arguments: {' '.join(arguments)}")

    def error(self, message: str) -> NoReturn:
        """Write one line on standard error and exit with status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


def printable(text: object) -> str:
    """Return the text with everything that would garble a terminal, line breaks included, as escape sequences."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def one_line(message: object) -> str:
    """Return the message in one printable line."""
    return printable(" ".join(str(message).split()))


def report_error(message: object) -> int:
    """Print the message in one line on standard error and return the exit status 1."""
    print("companion:", one_line(message), file=sys.stderr)
    return 1


def report_note(message: object) -> None:
    """Print something that is no error in one line on standard error."""
    print("companion:", one_line(message), file=sys.stderr)


def int_in_range(text: str, lowest: int = 0, highest: int = 10**9) -> int:
    """Return the integer that is written in decimal digits. Raises ArgumentTypeError if it is not in the range."""
    if not (text.isdecimal() and len(text) <= len(str(highest)) and lowest <= int(text) <= highest):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
    return int(text)


positive_int = partial(int_in_range, lowest=1)
byte_count = partial(int_in_range, highest=10**12)


def split_ratio(text: str) -> tuple[float, ...]:
    """Return the shares of train and dev (and test), which sum to 1. Raises ArgumentTypeError if it is no such list."""
    parts = text.split("/")
    numbers = [float(part) for part in parts if re.fullmatch(r"\d{1,9}(\.\d{1,9})?|\.\d{1,9}", part)]
    if not (len(numbers) == len(parts) in (2, 3) and sum(numbers) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not the shares of train and dev, such as 0.9/0.1")
    return tuple(number / sum(numbers) for number in numbers)


def sha256_digest(text: str) -> str:
    """Return the SHA-256 in lower case. Raises ArgumentTypeError if it is not 64 hexadecimal digits."""
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256: 64 hexadecimal digits")
    return text.lower()


def attention_name(text: str) -> str:
    """Return the name if it is one in `attention.MECHANISMS`. Raises ArgumentTypeError, with the choices, if not."""
    from companion.attention import MECHANISMS

    return registered(text, "attention", MECHANISMS)


def decoder_name(text: str) -> str:
    """Return the name if it is one in `decoders.DECODERS`. Raises ArgumentTypeError, with the choices, if not."""
    from companion.decoders import DECODERS

    return registered(text, "decoder", DECODERS)


def encoder_name(text: str) -> str:
    """Return the name if it is one in `models.ENCODERS`. Raises ArgumentTypeError, with the choices, if not."""
    from companion.models import ENCODERS

    return registered(text, "encoder", ENCODERS)


def language_code(text: str) -> str:
    """Return the language of a code such as zh or zh-TW, if `TOKENIZERS` has it. Raises ArgumentTypeError if not."""
    from companion.tokenizer import TOKENIZERS

    return registered(re.split("[-_]", text.lower())[0], "language", sorted(TOKENIZERS))


def registered(name: str, kind: str, registry: Iterable[str]) -> str:
    """Return the name if it is in the registry. Raises ArgumentTypeError, with the choices, if not."""
    if name not in registry:
        raise argparse.ArgumentTypeError(f"there is no {kind} called {name!r}; choose from {', '.join(registry)}")
    return name


def check_attention(options: Any) -> None:
    """Raise ValueError if the decoder of `train scenes` does not have the attention that was chosen for it."""
    if options.attention:
        from companion.models import build
        from companion.vocabulary import SPECIALS, Vocabulary

        chosen = {"decoder": options.decoder} if options.decoder else {}
        build("scenes", Vocabulary(list(SPECIALS)), options.size, attention=options.attention, **chosen)


def check_streams(options: Any) -> None:
    """Raise ValueError if `train photos` is given captions for a decoder with tags and is to train another."""
    if (options.text or options.pseudo) and not options.tags:
        raise ValueError("--text and --pseudo are for a decoder with tags; add --tags")


def check_results(options: Any) -> None:
    """Raise ValueError if `evaluate photos` is given captions to score and a model to make them with, too."""
    if options.results and (options.checkpoint, options.beam) != ("photos", 5):
        raise ValueError("--results holds the captions; leave --checkpoint and --beam away")
    if options.language and not options.results:
        raise ValueError("--language is for --results; a checkpoint has the language of its captions")
