"""The public checks of A6: one line for each, file by file. None runs anything of the project's."""

import re
from typing import Any

from companion.classroom import Mistake, points
from companion.classroom.projects import MODELS, Project, Run, Score
from companion.classroom.projects.project import is_inside

PICTURES, CAPTIONS, HELD_OUT = 100, 2, 20  # pictures in all, captions of each, pictures in dev and in test
SEEDS = 3
GRADED_WORDS, GRADED_PICTURES, LARGEST_BOX = 20, 10, 0.5
FAILURES = 5
AGREEMENT = 0.9  # of what the model says here with what it is said to say: another processor may round otherwise
ROUNDING = 0.0051  # of scores in two decimals
FROM_CARD = 0.011  # between a score that was measured again and that of the card: half precision, another processor
PACKAGE_OWN = 0.01  # weights that differ less from those that ship are those that ship
ABSOLUTE = re.compile(r"(?<![\w.:/)$}])(/(?!dev/null|usr/bin/env|bin/)[A-Za-z_]|~/|\$HOME\b|[A-Za-z]:[\\/](?!/))")


# -- data and licence --------------------------------------------------------------------------------------------------


@points(1, "data")
def test_data_can_be_read_and_nothing_is_left_out(project: Project) -> None:
    if issues := project.data["issues"]:
        raise Mistake(f"data has issues ({len(issues)}), the first: {issues[0][:200]}")


@points(1, "data")
def test_data_has_pictures_and_captions_enough(project: Project) -> None:
    splits = project.data["splits"]
    sizes = {name: len(splits.get(name, {})) for name in ("train", "dev", "test")}
    if sum(map(len, splits.values())) < PICTURES:
        raise Mistake(f"data has {sum(map(len, splits.values()))} pictures, fewer than {PICTURES}.")
    if short := [name for name in ("dev", "test") if sizes[name] < HELD_OUT]:
        raise Mistake(f"data has {sizes[short[0]]} pictures in the split {short[0]}, fewer than {HELD_OUT}.")
    few = [name for split in splits.values() for name, captions in split.items() if len(set(captions)) < CAPTIONS]
    if few:
        raise Mistake(f"data has pictures without {CAPTIONS} different captions ({len(few)}), the first: {few[0]}.")


@points(2, "data")
def test_data_names_its_source_and_its_licence(project: Project) -> None:
    for name in ("data.source", "data.licence"):
        project.fact(name)
    files = [path for path in sorted((project.folder / "data").glob("*")) if re.match("licen[cs]e", path.name.lower())]
    if not files:
        raise Mistake("data/LICENSE is missing: the terms under which pictures and captions may be used.")
    project.text(f"data/{files[0].name}")


@points(1, "data")
def test_data_has_no_picture_in_two_splits(project: Project) -> None:
    notes = [note for note in project.data["notes"] if "of another split" in note]
    if notes:
        raise Mistake(f"The splits of data share pictures: {notes[0][:250]}")


@points(1, "data")
def test_data_does_not_tell_where_a_picture_was_taken(project: Project) -> None:
    if places := project.data["places"]:
        raise Mistake(f"data tells by GPS where pictures were taken ({len(places)}), the first: {places[0]}.")


# -- baseline and one change -------------------------------------------------------------------------------------------


@points(1, "change")
def test_runs_have_their_cards_and_the_question_is_stated(project: Project) -> None:
    for name in ("question", "change", "expected"):
        project.fact(name)
    for model, runs in project.runs.items():
        if len(runs) < SEEDS:
            raise Mistake(f"project.toml lists {len(runs)} runs of {model}, fewer than {SEEDS}.")
    _check_spread(project)


@points(2, "change")
def test_runs_differ_in_what_is_stated(project: Project) -> None:
    found, stated = _differences(project), project.names("differs")
    if stated == ["code"] and not found:
        project.text("change.patch")
    elif sorted(stated) != found:
        raise Mistake(
            f"By their cards, baseline and change differ in {', '.join(found) or 'nothing'}; "
            f"project.toml says {', '.join(stated) or 'nothing'}."
        )


@points(1, "change")
def test_runs_differ_in_one_thing(project: Project) -> None:
    found = _differences(project)
    if len(found) > 1:
        raise Mistake(f"Baseline and change differ in {len(found)} things: {', '.join(found)}.")
    if not found and project.names("differs") != ["code"]:
        raise Mistake("Baseline and change differ in nothing.")


@points(1, "change")
def test_checkpoint_loads(project: Project) -> None:
    if project.checkpoint["task"] != project.task:
        raise Mistake(f"The checkpoint of {project.model[1].folder} has another task than its card.")


@points(1, "change")
def test_checkpoint_is_your_own(project: Project) -> None:
    difference = project.checkpoint["difference"]
    if difference is not None and difference < PACKAGE_OWN:
        raise Mistake("The weights that are handed in are those that ship with the package.")


def _differences(project: Project) -> list[str]:
    """Return in what the cards of the two models differ beside the seed. Raises Mistake if runs of one model do."""
    _check_spread(project)
    return differing(project.runs["baseline"][0], project.runs["change"][0])


def _check_spread(project: Project) -> None:
    """Raise Mistake if runs of a model differ in more than the seed."""
    for runs in project.runs.values():
        for run in runs[1:]:
            if others := differing(runs[0], run):
                raise Mistake(
                    f"{run.folder} differs from {runs[0].folder} in {', '.join(others)}, not in the seed alone."
                )


def differing(one: Run, other: Run) -> list[str]:
    """Return the names of what two cards say differently: of the model, the training, the data, and the command."""
    facts = [_settings(run) for run in (one, other)]
    return sorted(name for name in facts[0].keys() | facts[1].keys() if facts[0].get(name) != facts[1].get(name))


def _settings(run: Run) -> dict[str, object]:
    """Return what decides a run, apart from its seed."""
    card = run.card
    settings = card["config"] | {key: value for key, value in card["train_config"].items() if key != "seed"}
    settings["data"] = card["data"].get("sha256")
    passes = [card["train_config"].get(key, 0) for key in ("epochs", "rl_epochs")]
    if card["config"].get("task") == "scenes" and all(isinstance(n, int) for n in passes) and sum(passes):
        settings["count"] = card["data"].get("examples", 0) // sum(passes)  # scenes in an epoch
    options = re.findall(r"(--[\w-]+)(?:\s+([^-\s]\S*))?", card["command"])
    own = ("--out", "--seed", "--data", "--size", "--attention", "--decoder", "--precision")
    return settings | {name.removeprefix("--"): value for name, value in options if name not in own}


# -- three seeds and an honest table -----------------------------------------------------------------------------------


@points(2, "table")
def test_table_has_three_seeds_of_each(project: Project) -> None:
    for model, runs in project.runs.items():
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < SEEDS:
            names = ", ".join(map(str, seeds))
            raise Mistake(f"The runs of {model} have the seeds {names}: fewer than {SEEDS} different ones.")
    runs = [run for some in project.runs.values() for run in some]
    for i, run in enumerate(runs):
        for other in runs[:i]:
            if run.card["sha256"] == other.card["sha256"]:
                raise Mistake(f"{other.folder} and {run.folder} have the same weights: one run counts twice.")
    for model in MODELS:
        for split in ("dev", "test"):
            project.scores_of(model, split)


@points(1, "table")
def test_table_has_the_scores_of_the_cards(project: Project) -> None:
    for model, runs in project.runs.items():
        for run in runs:
            for split, expected in card_scores(run, project.task).items():
                score = project.scores_of(model, split)[str(run.seed)].score
                if abs(score - expected) > FROM_CARD:
                    raise Mistake(
                        f"results.csv has {score:g} for {model}, seed {run.seed}, {split}; "
                        f"the card of {run.folder} says {expected:g}."
                    )


def card_scores(run: Run, task: str) -> dict[str, float]:
    """Return the scores that a card has, by split: of photographs that of dev, of scenes also that of test."""
    card = run.card
    if task == "photos":
        found = {"dev": card["metrics"].get("cider_d")}
    else:
        last = card["log"][-1] if card["log"] and isinstance(card["log"][-1], dict) else {}
        found = {"dev": last.get("truth"), "test": card["metrics"].get("truth")}
    for split, score in found.items():
        if not isinstance(score, int | float):
            raise Mistake(f"{run.folder}/card.json has no score on {split}.")
    return found  # type: ignore[return-value]


@points(1, "table")
def test_table_has_an_interval_for_every_score(project: Project) -> None:
    for model in MODELS:
        for split in ("dev", "test"):
            for row in project.scores_of(model, split).values():
                if not row.low - ROUNDING <= row.score <= row.high + ROUNDING:
                    raise Mistake(f"results.csv: {_name(row)} lies outside its interval.")
                if row.low == row.high and row.score not in (0, 1):
                    raise Mistake(f"results.csv: the interval of {_name(row)} is a single number.")


@points(1, "table")
def test_table_has_the_means_over_the_seeds(project: Project) -> None:
    for model in MODELS:
        for split in ("dev", "test"):
            runs = [row.score for row in project.scores_of(model, split).values()]
            means = [row for row in project.scores if row[:3] == (model, "mean", split)]
            if len(means) != 1:
                raise Mistake(f"results.csv has {len(means)} lines with the mean of {model} on {split}.")
            (row,), mean = means, sum(runs) / len(runs)
            if abs(row.score - mean) > ROUNDING:
                best = abs(row.score - max(runs)) <= ROUNDING
                found = "the best run, not the mean" if best else f"not the mean, which is {mean:.3f}"
                raise Mistake(f"results.csv: the mean of {model} on {split} is {found}.")
            if max(abs(row.low - min(runs)), abs(row.high - max(runs))) > ROUNDING:
                raise Mistake(f"results.csv: low and high of the mean of {model} on {split} are not those of its runs.")


@points(1, "table")
def test_table_was_not_used_to_choose_the_model(project: Project) -> None:
    model, run = project.model
    by_split = {
        split: [row for each in MODELS for row in project.scores_of(each, split).values()] for split in ("dev", "test")
    }
    best = {split: max(row.score for row in rows) for split, rows in by_split.items()}
    own = {split: project.scores_of(model, split)[str(run.seed)].score for split in best}
    if own["dev"] < best["dev"]:
        how = "but the best on test: it was chosen on test" if own["test"] >= best["test"] else "nor on test"
        raise Mistake(f"The model that is handed in, {run.folder}, is not the best of the runs on dev, {how}.")


@points(1, "table")
def test_table_is_on_the_page(project: Project) -> None:
    wanted = [row for row in project.scores if row.split == "test"]
    if not wanted:
        raise Mistake("results.csv has no line of the split test.")
    columns = ("model", "seed", "score", "low", "high")
    tables = [table for table in project.page.tables if table and {"model", "score"} <= _head(table).keys()]
    if not tables:
        raise Mistake("page.html has no table with the columns model, seed, score, low, high.")
    missing = [column for column in columns if column not in _head(tables[0])]
    if missing:
        raise Mistake(f"page.html: the table has no column {', '.join(missing)}.")
    for row in wanted:
        if not any(_shows(table, row) for table in tables):
            raise Mistake(
                f"page.html: no line of the table shows {_name(row)} with its interval, as results.csv has it."
            )


def _head(table: list[list[str]]) -> dict[str, int]:
    """Return the places of the columns of a table on the page by their titles."""
    return {title.lower(): place for place, title in enumerate(table[0])}


def _shows(table: list[list[str]], score: Score) -> bool:
    """Return whether a line of a table on the page is this line of the results, maybe rounded to two decimals."""
    head = _head(table)
    for line in table[1:]:
        cells = {title: line[place] for title, place in head.items() if place < len(line)}
        same_run = cells.get("model", "").lower() == score.model and cells.get("seed", "").lower() == score.seed
        if same_run and cells.get("split", "test").lower() == "test":
            try:
                printed = [float(cells[key]) for key in ("score", "low", "high")]
            except (KeyError, ValueError):
                continue
            if all(abs(a - b) <= ROUNDING for a, b in zip(printed, score[3:], strict=True)):
                return True
    return False


def _name(row: Score) -> str:
    return f"{row.score:g} of {row.model}, {'' if row.seed == 'mean' else 'seed '}{row.seed}, {row.split},"


# -- maps --------------------------------------------------------------------------------------------------------------


@points(2, "maps")
def test_maps_are_graded_with_a_box_for_each_word(project: Project) -> None:
    rows = _graded(project)
    pictures = {row["picture"] for row in rows}
    if len(pictures) < GRADED_PICTURES:
        raise Mistake(f"maps.csv grades words of too few pictures: {len(pictures)}, not {GRADED_PICTURES}.")
    if len({(row["picture"], row["word"]) for row in rows}) < len(rows):
        raise Mistake("maps.csv has a word of a picture twice.")
    said = project.captions(sorted(pictures))
    absent = [row for row in rows if row["word"] not in said[row["picture"]]["words"]]
    _check_said("maps.csv", "word", absent, len(rows), said)


@points(1, "maps")
def test_maps_can_miss_their_boxes(project: Project) -> None:
    boxes = [_box(row, number) for number, row in enumerate(_graded(project), start=2)]
    share = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes) / len(boxes)
    if share > LARGEST_BOX:
        raise Mistake(f"maps.csv: the boxes cover {share:.2f} of their pictures on average, so hardly a map can miss.")


@points(3, "maps")
def test_maps_hit_and_miss_as_the_table_says(project: Project) -> None:
    rows = _graded(project)
    said = project.captions([row["picture"] for row in rows])
    wrong = []
    for number, row in enumerate(rows, start=2):
        box = _box(row, number)
        if row["hit"] not in ("0", "1"):
            raise Mistake(f"maps.csv, line {number}: hit is 1 or 0, not {row['hit'][:20]!r}.")
        caption = said[row["picture"]]
        peaks = [peak for word, peak in zip(caption["words"], caption["peaks"], strict=True) if word == row["word"]]
        if not peaks or str(int(any(_meets(peak, box) for peak in peaks))) != row["hit"]:
            wrong.append(number)
    if len(wrong) > (1 - AGREEMENT) * len(rows):
        raise Mistake(
            f"maps.csv: of {len(rows)} words, {len(wrong)} are graded otherwise than the maps of the model lie, "
            f"the first in line {wrong[0]}."
        )


def _graded(project: Project) -> list[dict[str, str]]:
    columns = ("picture", "word", "left", "top", "right", "bottom", "hit")
    return project.rows("maps.csv", columns, GRADED_WORDS)


def _box(row: dict[str, str], number: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box, as shares of the picture. Raises Mistake if it is none."""
    try:
        left, top, right, bottom = (float(row[key]) for key in ("left", "top", "right", "bottom"))
    except ValueError:
        raise Mistake(f"maps.csv, line {number}: left, top, right and bottom are four numbers.") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise Mistake(f"maps.csv, line {number}: the box is not given in shares of the picture, 0 to 1.")
    return left, top, right, bottom


def _meets(cell: list[float], box: tuple[float, float, float, float]) -> bool:
    """Return whether a cell and a box have an area in common."""
    return cell[0] < box[2] and box[0] < cell[2] and cell[1] < box[3] and box[1] < cell[3]


# -- failures ----------------------------------------------------------------------------------------------------------


@points(2, "failures")
def test_failures_are_listed_with_what_is_wrong(project: Project) -> None:
    rows = _failures(project)
    pictures = [row["picture"] for row in rows]
    if len(set(pictures)) < FAILURES:
        raise Mistake(f"failures.csv has too few different pictures: {len(set(pictures))}, not {FAILURES}.")
    unknown = [name for name in pictures if name not in project.held_out_pictures()]
    if unknown:
        raise Mistake(f"failures.csv: {unknown[0][:80]} is no picture of the splits dev and test of the data.")
    short = [row["picture"] for row in rows if len(row["wrong"].split()) < 3]
    if short:
        raise Mistake(f"failures.csv does not say what is wrong with the caption of {short[0]}.")
    if len({row["wrong"] for row in rows}) < 2:
        raise Mistake("failures.csv says the same of every failure.")


@points(1, "failures")
def test_failures_are_captions_of_the_model(project: Project) -> None:
    rows = _failures(project)
    said = project.captions([row["picture"] for row in rows])
    others = [row for row in rows if row["caption"] != said[row["picture"]]["text"]]
    _check_said("failures.csv", "caption", others, len(rows), said)


@points(2, "failures")
def test_failures_are_on_the_page_with_their_pictures(project: Project) -> None:
    rows, page = _failures(project), project.page
    absent = [row["caption"] for row in rows if row["caption"].lower() not in page.text.lower()]
    if absent:
        raise Mistake(f"page.html does not show the failure {absent[0][:120]!r}.")
    for address in page.images:
        if address.startswith("data:image/"):
            continue
        if re.match(r"(https?:)?//", address, re.IGNORECASE):
            raise Mistake(f"page.html takes the picture {address[:80]} from the network.")
        if not is_inside(address) or not (project.folder / address).is_file():
            raise Mistake(f"page.html shows the picture {address[:80]}, which is not in the project.")
    if len(set(page.images)) < len(rows):
        raise Mistake(f"page.html shows {len(set(page.images))} pictures; {len(rows)} failures need one each.")


def _check_said(file: str, column: str, absent: list[dict[str, str]], count: int, said: dict[str, Any]) -> None:
    """Raise Mistake if too many of a table's `count` rows are `absent`: not what the model says of their pictures."""
    if len(absent) > (1 - AGREEMENT) * count:
        row = absent[0]
        raise Mistake(
            f"{file}: the model does not say {row[column][:120]!r} of {row['picture']}; "
            f"it says: {said[row['picture']]['text'][:120]}"
        )


def _failures(project: Project) -> list[dict[str, str]]:
    return project.rows("failures.csv", ("picture", "caption", "wrong"), FAILURES)


# -- one command rebuilds it -------------------------------------------------------------------------------------------


@points(1, "rebuild")
def test_rebuild_is_one_command_with_a_file_of_the_project(project: Project) -> None:
    command = project.fact("rebuild")
    if re.search(r"[;&|\n]", command):
        raise Mistake("project.toml: `rebuild` is more than one command.")
    _script(project)


@points(1, "rebuild")
def test_rebuild_holds_on_another_machine(project: Project) -> None:
    _check_paths("project.toml", project.fact("rebuild"))
    _check_paths(*_script(project))


@points(1, "rebuild")
def test_rebuild_trains_every_run(project: Project) -> None:
    name, text = _script(project)
    seeds = sorted({run.seed for runs in project.runs.values() for run in runs})
    if "train" not in text:
        raise Mistake(f"{name} does not train.")
    absent = [seed for seed in seeds if not re.search(rf"(?<![\d.]){seed}(?![\d.])", text)]
    if absent or not seeds:
        raise Mistake(f"{name} does not name the seed {absent[0] if absent else 'of any run'}.")
    if "results.csv" not in text and not re.search(r"\.(py|ipynb)\b", text):
        raise Mistake(f"{name} trains, but makes neither results.csv nor the page.")


def _check_paths(name: str, text: str) -> None:
    """Raise Mistake if a text names a path that begins at the root of a disk, or at a home folder."""
    if path := ABSOLUTE.search(text):
        raise Mistake(f"{name} names a path of one machine: {text[path.start() :].split()[0][:60]}")


def _script(project: Project) -> tuple[str, str]:
    """Return name and text of the file that the rebuild command names; of `make` that is the Makefile."""
    words = project.fact("rebuild").split()
    names = ["Makefile", *words[1:]] if words[0] == "make" else words
    for name in names:
        if is_inside(name) and (project.folder / name).is_file():
            return name, project.text(name)
    raise Mistake(f"project.toml: `rebuild` names no file of the project: {' '.join(words)[:80]}")
