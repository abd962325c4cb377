"""MyST to plain Markdown: what GitHub, Colab and a JupyterLab without extensions show as it was meant.

`blocks` splits a text into prose and directives, `Writer.plain` rewrites what stands within a line (citations,
references to exercises and figures, links to other pages), and `quoted` makes a box. `tools.authoring.learner` puts
the pieces into notebooks. A role or a link that is not handled here is an error, so that none reaches a learner as it
stands.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pybtex.database import BibliographyData, Entry
from pybtex.plugin import find_plugin
from pybtex.richtext import Text

from tools.authoring.paired import FENCE

DIRECTIVE = re.compile(r"\{(?P<name>[\w:-]+)\}(?P<argument>.*)")
OPTION = re.compile(r":(?P<key>[\w-]+):\s*(?P<value>.*)\n?")
# Code is left alone: it stands first or begins earlier. What is left between two tokens is prose.
TOKEN = re.compile(
    r"""^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)[`~]*\s*?$
      | \{(?P<role>[\w:-]+)\}`(?P<content>[^`]+)`
      | (?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)
      | \]\((?P<target>[\w./-]+\.(?:ipynb|md|html))(?P<anchor>\#[\w-]+)?\)""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


class Directive(NamedTuple):
    """A MyST directive: its name, the rest of its first line, its options (`:label: ...`), and what it holds."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


def blocks(markdown: str) -> Iterator[str | Directive]:
    """Yield the parts of a text in order: prose as it stands, fenced code included, and every directive.

    Raises:
        ValueError: a directive is not closed.
    """
    prose: list[str] = []
    lines = iter(markdown.splitlines())
    for line in lines:
        mark = FENCE.match(line)
        opening = DIRECTIVE.fullmatch(mark["rest"]) if mark else None
        if not mark:
            prose.append(line)
            continue
        inside = []
        for inner in lines:
            end = FENCE.match(inner)
            if end and end["fence"].startswith(mark["fence"]) and not end["rest"].strip():
                break
            inside.append(inner)
        else:
            raise ValueError(f"no end of {line!r}")
        if opening:
            yield "\n".join(prose)
            prose = []
            yield _directive(opening, "\n".join(inside))
        else:
            prose += [line, *inside, inner]
    yield "\n".join(prose)


def _directive(opening: re.Match[str], text: str) -> Directive:
    options = {}
    while option := OPTION.match(text):
        options[option["key"]] = option["value"].strip()
        text = text[option.end() :]
    return Directive(opening["name"], opening["argument"].strip(), options, text.strip("\n"))


def quoted(title: str, body: str) -> str:
    """Return a box: a quotation whose first line is the title, in bold."""
    return "\n".join(f"> {line}".rstrip() for line in (f"**{title}**", "", *body.splitlines()))


@dataclass
class Writer:
    """Rewrites the prose of one notebook, and remembers what it cites.

    Attributes:
        library: the entries of `book/references.bib`.
        labels: what a reference to an exercise or a figure displays, by its label: "Exercise 2.1".
        pages: where every page is found from this notebook, by its name without the suffix.
        cited: the keys of the entries, in the order in which the notebook cites them.
    """

    library: BibliographyData
    labels: Mapping[str, str]
    pages: Mapping[str, str]
    cited: list[str] = field(default_factory=list)

    def plain(self, markdown: str) -> str:
        """Return the prose without a role, and with links that lead somewhere; code stays as it is.

        Raises:
            ValueError: a role, a citation, an exercise, a figure or a page is not known.
        """
        return TOKEN.sub(self._replace, markdown)

    def _replace(self, token: re.Match[str]) -> str:
        if token["role"]:
            return self._role(token["role"], token["content"])
        if token["target"]:
            name = token["target"].rpartition(".")[0]
            if name not in self.pages:
                raise ValueError(f"a link to {token['target']}, which is no page")
            return f"]({self.pages[name]}{token['anchor'] or ''})"
        return token[0]

    def _role(self, role: str, content: str) -> str:
        match role:
            case "cite:t":
                return " and ".join(f"{name} ({year})" for name, year in self._citations(content))
            case "cite:p":
                return f"({'; '.join(f'{name}, {year}' for name, year in self._citations(content))})"
            case "ref" | "numref":
                if content not in self.labels:
                    raise ValueError(f"a reference to {content}, which is no exercise and no figure")
                return self.labels[content]
        raise ValueError(f"the role {{{role}}} has no form in plain Markdown: add one to tools/authoring/plain.py")

    def _citations(self, keys: str) -> list[tuple[str, str]]:
        """Return author and year of each entry."""
        citations = []
        for key in map(str.strip, keys.split(",")):
            if key not in self.library.entries:
                raise ValueError(f"a citation of {key}, which is not in references.bib")
            if key not in self.cited:
                self.cited.append(key)
            entry = self.library.entries[key]
            citations.append((short_names(entry), entry.fields["year"]))
        return citations

    def references(self) -> str:
        """Return the list of what was cited, an item each, as on the book's page of references."""
        style, backend = find_plugin("pybtex.style.formatting", "unsrt")(), find_plugin("pybtex.backends", "markdown")()
        entries = style.format_entries([self.library.entries[key] for key in self.cited])
        # The backend escapes every dot and hyphen, which is right and hard to read in a cell that is being edited.
        texts = [re.sub(r"\\([.()-])", r"\1", entry.text.render(backend)).replace("\n", " ") for entry in entries]
        return "\n".join(f"- {text}" for text in texts)


def short_names(entry: Entry) -> str:
    """Return the authors as a citation names them: "Graves", "Kuhnle and Copestake", "Xu et al."."""
    people = entry.persons.get("author") or entry.persons["editor"]
    names = [str(Text.from_latex(" ".join(person.prelast_names + person.last_names))) for person in people]
    if len(names) > 2:
        return f"{names[0]} et al."
    return " and ".join(names)
