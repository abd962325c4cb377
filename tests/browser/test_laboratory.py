"""The live laboratory computes what the companion computes, and can be used by mouse, touch and keyboard."""

import base64
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

from benchmarks.laboratory import equal, rounded
from companion import checkpoints, decoding, scenes
from companion.metrics import grounding, redirection
from companion.scenes import rendering
from companion.scenes.semantics import align, explain, is_true
from companion.scenes.words import WORDS
from companion.scenes.world import COLOURS, SHAPES, SIZES, TEXTURES, SceneObject, SeededRandom
from tools import laboratory, page_browser

BUILT = Path(__file__).resolve().parents[2] / "_build" / "html" / "book" / "laboratory.html"
CAPTIONED = "document.querySelectorAll('.laboratory-token').length > 0"
IMAGE = "Uint8Array.from(atob(%s), (character) => character.charCodeAt(0))"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return laboratory.write_page(tmp_path_factory.mktemp("laboratory"))


@pytest.fixture(scope="module")
def view(chromium, page):
    """The page, for its functions."""
    with page_browser.opened(chromium, page, width=1280, theme="light") as (opened, _, _):
        opened.wait_for_function(CAPTIONED)
        opened.evaluate("() => { window.serve = attentionBook.makeServer(attentionBook.model); }")
        yield opened


@pytest.fixture
def used(open_page, page):
    """The page, to be used: it is captioned, and ends without an error and without a request."""
    opened, errors, requests = open_page(page)
    opened.wait_for_function(CAPTIONED)
    yield opened
    assert errors == []
    assert requests == []


@pytest.fixture(scope="module")
def model():
    return rounded(checkpoints.load("scenes"))


def as_text(image):
    return base64.b64encode(np.ascontiguousarray(image).tobytes()).decode()


def serve(view, image, **request):
    """Return the answer of the page's captioner; its maps as word row col."""
    script = f"""({{image, ...request}}) => {{
      const redirected = request.redirected && Float32Array.from(request.redirected);
      const result = serve({{...request, redirected, image: {IMAGE % "image"}}});
      return {{...result, maps: result.maps.map((map) => [...map]), steps: null}};
    }}"""
    answer = view.evaluate(script, {"image": as_text(image), **request})
    return answer | {"maps": np.array(answer["maps"]).reshape(-1, 8, 8)}


def forced(model, image, words, choose):
    """Return words, log-probability and maps of a caption that begins with `words` and goes on as `choose` says."""
    known = model.vocabulary
    state, tokens, total, maps = model.start(torch.from_numpy(image).permute(2, 0, 1)[None]), [known.start], 0.0, []
    while tokens[-1] != known.end:
        step = model.step(torch.tensor([[tokens[-1]]]), state)
        scores = decoding.next_log_probs(step, last=len(tokens) == 21)[0, 0]
        tokens.append(known.id(words[len(tokens) - 1]) if len(tokens) <= len(words) else choose(scores))
        total, state = total + float(scores[tokens[-1]]), step.state
        maps.append(step.weights[0, 0].view(8, 8).numpy())
    return [known.words[token] for token in tokens[1:-1]], total, np.array(maps[:-1]).reshape(-1, 8, 8)


# -- what it computes --------------------------------------------------------------------------------------------------


def test_captions_of_validation_scenes_are_those_of_pytorch(view, model):
    assert equal(view, model, 1) == [200, 200]
    assert equal(view, model, 5) == [50, 50]


@torch.no_grad()
def test_captions_of_noise_that_begin_with_random_words_are_those_of_pytorch(view, model):
    rng = np.random.default_rng(0)
    for count in range(6):
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        prefix = rng.integers(4, len(model.vocabulary), 2 * count).tolist()
        words = [model.vocabulary.words[token] for token in prefix]
        own, total, maps = forced(model, image, words, lambda scores: int(scores.argmax()))
        answer = serve(view, image, method="greedy", prefix=prefix)
        assert answer["words"] == own
        assert answer["words"][: len(words)] == words
        assert answer["logProbability"] == pytest.approx(total, abs=1e-3)
        np.testing.assert_allclose(answer["maps"], maps, atol=1e-4)


@torch.no_grad()
def test_a_sample_is_that_of_its_random_numbers(view, model):
    image = scenes.sample_scene(3, "validation").image
    for seed, temperature in ((0, 1.0), (1, 1.7), (2, 0.4)):
        numbers = view.evaluate(
            "(seed) => { const next = attentionBook.randomNumbers(seed); return Array.from({length: 21}, next); }", seed
        )
        draws = iter(numbers)

        def choose(scores, temperature=temperature, draws=draws):
            probabilities = (scores.double() / temperature).softmax(0)
            return int((probabilities.cumsum(0) > next(draws)).nonzero()[0])

        answer = serve(view, image, method="sample", temperature=temperature, seed=seed)
        assert answer["words"] == forced(model, image, [], choose)[0]


def test_random_numbers_are_uniform(view):
    numbers = np.array(
        view.evaluate(
            "() => { const next = attentionBook.randomNumbers(5); return Array.from({length: 20000}, next); }"
        )
    )
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.histogram(numbers, 10, (0, 1))[0].std() < 100  # of 2,000 each, with a deviation of about 42


def test_the_tree_of_a_beam_leads_to_the_caption(view, model):
    image = scenes.sample_scene(5, "validation").image
    answer = serve(view, image, method="beam", width=4)
    tree, tokens, i = answer["tree"], [], 0
    for kept in reversed(tree):
        tokens, i = [kept[i]["token"], *tokens], kept[i]["parent"]
        assert len(kept) == 4
        assert [each["rank"] for each in kept] == sorted((each["rank"] for each in kept), reverse=True)
    assert model.vocabulary.decode(tokens) == answer["words"]
    assert tree[-1][0]["sum"] == pytest.approx(answer["logProbability"], abs=1e-4)
    (best,) = model.caption(torch.from_numpy(image).permute(2, 0, 1)[None], 4)
    assert best.log_probability == pytest.approx(answer["logProbability"], abs=1e-3)


def test_a_redirected_word_is_that_of_the_companion(view, model):
    world = scenes.make_dataset("validation", 6)
    captions = model.caption(scenes.image_tensor(world), 1)
    for caption, scene in zip(captions, world, strict=True):
        for t in range(0, len(caption.words), 3):
            cells = grounding.covered(scene.masks[-1], 8, 8)
            given = torch.from_numpy(cells / cells.sum()).float().flatten()
            (word,) = redirection.predict(model, [caption], [scene], [redirection.Probe(0, t, 0)], given[None])
            prefix = [model.vocabulary.id(each) for each in caption.words[:t]]
            answer = serve(view, scene.image, method="greedy", prefix=prefix, redirected=given.tolist())
            assert [*answer["words"], "<end>"][t] == word
            np.testing.assert_allclose(answer["maps"][t], caption.weights[t], atol=1e-4)  # the model's own map


def test_a_product_of_matrices_is_that_of_numpy_with_simd_and_without(view):
    rng = np.random.default_rng(0)
    script = """({A, B, cols, K, bias}) => {
      const given = Float32Array.from(A), plain = Float32Array.from(B);
      const {B: placed} = attentionBook.placed({B: plain}, 9000);
      const all = [placed, plain].map((B) => [...attentionBook.matmul(given, B, cols, K, bias)]);
      return [placed !== plain, ...all];
    }"""
    for rows, cols, inner in ((1, 4, 4), (3, 57, 8), (4, 6, 80), (9, 31, 192), (5, 3, 16), (2, 7, 6)):
        a, b, bias = (rng.standard_normal(shape) for shape in ((rows, inner), (cols, inner), (cols,)))
        a, b = a.astype(np.float32), b.astype(np.float32)
        given = {"A": a.ravel().tolist(), "B": b.ravel().tolist(), "cols": cols, "K": inner, "bias": bias.tolist()}
        simd, fast, plain = view.evaluate(script, given)
        assert simd, "this Chromium has no SIMD"
        np.testing.assert_allclose(np.reshape(fast, (rows, cols)), a @ b.T + bias, atol=1e-4)
        np.testing.assert_allclose(np.reshape(plain, (rows, cols)), a @ b.T + bias, atol=1e-4)


# -- what it draws -----------------------------------------------------------------------------------------------------


def test_every_pixel_and_mask_is_that_of_the_companion(view):
    rng = random.Random(0)
    drawn = [(scene.objects, scene.image, scene.masks) for scene in scenes.make_dataset("validation", 40)]
    backgrounds = [
        rendering.background(SeededRandom(i * len(scenes.SPLITS) + scenes.SPLITS.index("validation")))
        for i in range(40)
    ]
    backgrounds = [rendering.background(SeededRandom(i)) for i in range(40)]
    drawn = [
        (objects, *rendering.paint(objects, back)) for (objects, _, _), back in zip(drawn, backgrounds, strict=True)
    ]
    for i in range(60):  # anywhere, of any size
        shape, colour = SHAPES[i % len(SHAPES)], rng.choice(COLOURS)
        radius = rng.choice((3.2, 5.5, 8.0, 9.9, 12.5, 15.5))
        row, col = (rng.uniform(radius, 63 - radius) for _ in range(2))
        objects = (SceneObject(shape, colour, rng.choice(SIZES), TEXTURES[i // 6 % 2], row, col, radius),)
        backgrounds.append(backgrounds[i % 40])
        drawn.append((objects, *rendering.paint(objects, backgrounds[-1])))
    given = [(objects, back) for (objects, _, _), back in zip(drawn, backgrounds, strict=True)]
    for (_, image, masks), (own_image, own_masks, problems) in zip(drawn, paint(view, given), strict=True):
        np.testing.assert_array_equal(own_image, image)
        np.testing.assert_array_equal(own_masks, masks)
        assert problems == []


def paint(view, drawn):
    """Return image, masks and problems of each pair of objects and background, as the page draws them."""
    script = f"""(drawn) => drawn.map(({{objects, back}}) => {{
      const text = (bytes) => bytes.reduce((text, byte) => text + String.fromCharCode(byte), "");
      const {{image, masks, problems}} = attentionBook.paint(objects, {IMAGE % "back"});
      return {{image: btoa(text(image)), masks: masks.map((mask) => btoa(text(mask))), problems}};
    }})"""
    given = [{"objects": [each._asdict() for each in objects], "back": as_text(back)} for objects, back in drawn]
    for answer in view.evaluate(script, given):
        image = np.frombuffer(base64.b64decode(answer["image"]), dtype=np.uint8)
        masks = np.frombuffer(b"".join(map(base64.b64decode, answer["masks"])), dtype=bool)
        yield image.reshape(64, 64, 3), masks.reshape(-1, 64, 64), answer["problems"]


def test_the_objects_that_the_companion_refuses_are_named(view):
    rng, back, refused = random.Random(1), np.zeros((64, 64, 3), dtype=np.uint8), 0
    pairs = [
        tuple(
            SceneObject(rng.choice(SHAPES), "red", "small", "plain", rng.randint(16, 47), rng.randint(16, 47), radius)
            for radius in (rng.choice((9.5, 15.5)), rng.choice((5.5, 7.5)))
        )
        for _ in range(80)
    ]
    for objects, (_, _, problems) in zip(pairs, paint(view, [(pair, back) for pair in pairs]), strict=True):
        try:
            rendering.paint(objects, back)
        except ValueError:
            refused += 1
            assert problems == [[0, 1]]
        else:
            assert problems == []
    assert 20 < refused < 80


@pytest.mark.parametrize("seed", [0, 1, 7, 123456, 2**32 - 1])
def test_a_background_is_that_of_the_seed(view, seed):
    pixels = view.evaluate("(seed) => [...attentionBook.background(seed)]", seed)
    np.testing.assert_array_equal(np.array(pixels).reshape(64, 64, 3), rendering.background(SeededRandom(seed)))


def test_the_program_of_a_scene_draws_its_pixels(used):
    used.get_by_role("button", name="Another scene").click()
    used.get_by_text("This scene in Python").click()
    program = used.locator(".laboratory-folded pre").first.inner_text()
    names = {}
    exec(program.split("model =")[0], names)
    data = used.evaluate("() => [...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 64, 64).data]")
    pixels = np.array(data, dtype=np.uint8).reshape(64, 64, 4)[..., :3]
    np.testing.assert_array_equal(pixels, names["scene"].image)


def test_a_random_scene_is_one_that_the_companion_can_draw(view):
    drawn = view.evaluate(
        "() => { const next = attentionBook.randomNumbers(1);"
        " return Array.from({length: 40}, () => attentionBook.randomScene(next)); }"
    )
    for objects in drawn:
        for each in objects:
            each |= {name: float(each[name]) for name in ("row", "col", "radius")}  # JSON has 7 for 7.0
        scene = scenes.render_scene([SceneObject(**each) for each in objects])
        assert 2 <= len(scene.objects) <= 4
        assert not {(each.colour, each.shape) for each in scene.objects} & set(scenes.HELD_OUT)


# -- whether a caption is true -----------------------------------------------------------------------------------------


def sentences(world, rng):
    """Yield scenes and captions: their own, those of others, and damaged ones."""
    words = sorted(WORDS)
    for scene, other in zip(world, [*world[1:], world[0]], strict=True):
        for reference in (*scene.captions, *other.captions):
            yield scene, reference.text
            damaged = list(reference.words)
            damaged[rng.randrange(len(damaged))] = rng.choice(words)
            yield scene, " ".join(damaged)
            yield scene, " ".join(damaged[: rng.randrange(len(damaged)) + 1])
    for odd in (
        "",
        "A RED, circle!",
        "a dog's circle",
        "three four stars",
        "’s",
        "a t-shirt",
        "à la carte",
        "a red circle " * 300,
    ):
        yield world[0], odd


def test_truth_explanation_and_alignment_are_those_of_the_companion(view):
    pairs = list(sentences(scenes.make_dataset("validation", 40), random.Random(0)))
    answers = view.evaluate(
        """(pairs) => pairs.map(([objects, text]) => [attentionBook.isTrue(text, objects),
          attentionBook.explain(text, objects), attentionBook.align(text, objects)])""",
        [[[each._asdict() for each in scene.objects], text] for scene, text in pairs],
    )
    own = [
        [is_true(text, scene), explain(text, scene), aligned and [list(members) for members in aligned]]
        for scene, text in pairs
        for aligned in (align(text, scene),)
    ]
    assert answers == own
    assert 200 < sum(true for true, _, _ in own) < len(own) - 200


def test_the_pointing_game_is_that_of_the_companion(view):
    world, rng, cases = scenes.make_dataset("validation", 30), np.random.default_rng(0), []
    for i, scene in enumerate(world):
        words = (scene if i % 2 else world[i - 1]).captions[0].words  # half of them are mostly false
        maps = rng.random((len(words), 8, 8)).astype(np.float32)
        maps[0] = maps[0].max()
        cases.append((scene, words, maps))
    script = f"""(cases) => cases.map(({{words, maps, objects, masks}}) => attentionBook.grade(
      words, maps.map((map) => Float32Array.from(map)), {{objects, masks: masks.map((mask) => {IMAGE % "mask"})}}))"""
    given = [
        {
            "words": words,
            "maps": maps.reshape(len(maps), -1).tolist(),
            "objects": [each._asdict() for each in scene.objects],
            "masks": [as_text(mask) for mask in scene.masks],
        }
        for scene, words, maps in cases
    ]
    for (scene, words, maps), answers in zip(cases, view.evaluate(script, given), strict=True):
        aligned = align(" ".join(words), scene)
        for t, word in enumerate(words):
            members = aligned[t] if aligned else grounding.referents(word, scene)
            if not members or scenes.word_class(word) not in grounding.CLASSES:
                assert answers[t] is None
                continue
            hit = grounding.pointing(torch.from_numpy(maps[t]), scene.masks[list(members)].any(0))
            assert answers[t] == {"members": list(members), "hit": hit}


# -- how it is used ----------------------------------------------------------------------------------------------------


def caption(used):
    """Return the caption, when the page has answered all changes."""
    used.locator(".laboratory-words[aria-busy=false]").wait_for()
    return " ".join(used.locator(".laboratory-token span:nth-of-type(1)").all_inner_texts())


def middle(used, handle):
    box = used.locator(".laboratory-handle").nth(handle).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixel(used):
    return used.locator(".laboratory-picture").bounding_box()["width"] / 64


def position(used, handle):
    label = used.locator(".laboratory-handle").nth(handle).get_attribute("aria-label")
    return tuple(int(number) for number in re.findall(r"\d+", label))


def test_an_object_is_dragged_by_the_mouse_and_the_sentence_follows(used):
    before = caption(used)
    x, y = middle(used, 0)
    used.mouse.move(x, y)
    used.mouse.down()
    for step in range(1, 11):
        used.mouse.move(x + 1.2 * step * pixel(used), y + 3.2 * step * pixel(used))
    used.mouse.up()
    assert position(used, 0) == (52, 26)
    used.mouse.move(x, y)  # no longer held
    assert position(used, 0) == (52, 26)
    assert caption(used) != before


def test_an_object_is_dragged_by_a_finger(used):
    x, y = middle(used, 2)
    touch = used.context.new_cdp_session(used)
    for kind, distance in (("touchStart", 0), ("touchMove", 4), ("touchMove", 8)):
        points = [{"x": x - distance * pixel(used), "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert position(used, 2) == (14, 36)


def test_an_object_is_moved_resized_and_removed_by_the_keyboard(used):
    handle = used.locator(".laboratory-handle")
    handle.nth(0).focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowDown", "ArrowLeft", "ArrowUp"):
        used.keyboard.press(key)
    assert position(used, 0) == (24, 14)
    for _ in range(70):
        used.keyboard.press("ArrowLeft")
    assert position(used, 0) == (24, 7)  # the edge
    for _ in range(5):
        used.keyboard.press("+")
    assert handle.nth(0).get_attribute("aria-label") == "large red circle, row 24, column 12"
    for left in (2, 1, 1):  # the last object stays
        used.keyboard.press("Delete")
        assert handle.count() == left


def test_shape_colour_and_surface_change_and_objects_are_added_up_to_four(used):
    for name in ("heart", "green", "striped"):
        used.get_by_role("group", name="The selected object").get_by_label(name).check()
    assert (
        used.locator(".laboratory-handle").first.get_attribute("aria-label")
        == "small striped green heart, row 20, column 14"
    )
    add = used.get_by_role("button", name="Add an object")
    add.click()
    assert used.locator(".laboratory-handle").count() == 4
    assert add.is_disabled()
    assert "green" in caption(used)
    used.get_by_role("group", name="The selected object").get_by_label("purple").check()
    used.get_by_role("group", name="The selected object").get_by_label("triangle").check()
    assert "No training scene has a purple triangle." in used.locator(".laboratory-notes").inner_text()


def test_a_word_is_selected_by_arrow_and_its_map_lies_over_the_picture(used):
    caption(used)
    overlay = used.locator(".laboratory-map")
    assert not overlay.is_visible()
    used.locator(".laboratory-token").first.focus()
    used.keyboard.press("ArrowRight")
    used.keyboard.press("ArrowRight")
    assert overlay.is_visible()
    assert used.locator(".laboratory-word strong").inner_text() == "circle"
    used.keyboard.press("Escape")
    assert not overlay.is_visible()


def test_the_selected_word_is_redirected_by_a_click_on_another_object(used):
    caption(used)
    used.locator(".laboratory-token").nth(2).click()
    used.get_by_label("redirects the selected word").check()
    used.mouse.click(*middle(used, 1))
    outcome = used.locator(".laboratory-outcome")
    outcome.get_by_text("“circle” becomes “square”").wait_for()
    used.get_by_role("radio", name="the small yellow star").check()
    outcome.get_by_text("“circle” becomes “star”").wait_for()
    used.get_by_role("radio", name="its own map").check()
    assert outcome.inner_text() == ""


def test_a_sentence_is_begun_and_a_word_is_replaced(used):
    begin = used.get_by_label("Begin the sentence yourself")
    begin.fill("A blue square, is")
    assert caption(used).startswith("a blue square is ")
    begin.fill("two")
    assert caption(used).startswith("two ")
    verdict = used.locator(".laboratory-verdict")
    assert verdict.get_attribute("data-true") == "false"
    assert "there is only one" in verdict.inner_text()
    used.get_by_role("button", name="Clear").click()
    first = caption(used)
    used.locator(".laboratory-token").nth(1).click()
    used.locator(".laboratory-word .laboratory-button").first.click()
    assert caption(used) != first
    assert begin.input_value() == " ".join(caption(used).split()[:2])
    assert used.evaluate("document.activeElement.classList.contains('laboratory-token')")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script> a",
        '"><img src=x onerror=alert(1)>',
        "a red \u202egnorw\u202c",
        "😀 a star",
        "a" * 100_000,
        "a star " * 20_000,
    ],
    ids=["script", "attribute", "direction", "emoji", "a kilometre", "many words"],
)
def test_whatever_is_typed_stays_text(used, text):
    field = used.get_by_label("Begin the sentence yourself")
    field.evaluate("(field, text) => { field.value = text; field.dispatchEvent(new Event('input')); }", text)
    assert 0 < len(caption(used).split()) <= 20
    assert used.locator("#laboratory :is(script, img)").count() == 0
    assert len(used.locator(".laboratory-note[role=status]").inner_text()) < 120
    assert used.evaluate(page_browser.OVERFLOW) == 0


def test_a_sample_changes_with_its_seed_and_a_beam_grows(used):
    used.get_by_label("sampling").check()
    drawn = set()
    for _ in range(4):
        used.get_by_role("button", name="Draw again").click()
        drawn.add(caption(used))
    assert len(drawn) > 1
    used.get_by_label("beam search").check()
    best = caption(used)
    tree = used.get_by_role("region", name="The tree of hypotheses")
    assert tree.is_visible()
    assert used.locator(".laboratory-hypotheses li").first.inner_text().startswith(best)
    used.get_by_label("Steps").fill("2")
    words = tree.locator("text.laboratory-node").all_inner_texts()
    assert len(words) == 6
    used.get_by_role("button", name="Grow").click()
    assert tree.locator("text.laboratory-node").count() == 3
    used.wait_for_function("document.querySelectorAll('.laboratory-node').length > 6")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_and_every_control_has_a_name(open_page, page, theme):
    opened, errors, requests = open_page(BUILT if BUILT.exists() else page, theme=theme)
    opened.wait_for_function(CAPTIONED)
    opened.get_by_label("beam search").check()
    opened.locator(".laboratory-token").nth(1).click()
    caption(opened)
    for summary in opened.locator(".laboratory-folded summary").all():
        summary.click()
    for width in (1280, 768, 390):
        opened.set_viewport_size({"width": width, "height": 900})
        assert opened.evaluate(page_browser.OVERFLOW) == 0
        small = opened.evaluate(
            """() => [...document.querySelectorAll('#laboratory :is(button, summary, label)')].filter((node) => {
              const {width, height} = node.getBoundingClientRect();
              return width && Math.min(width, height) < 24; }).map((node) => node.outerHTML.slice(0, 80))"""
        )
        assert small == []
    found = Axe().run(opened, context="#laboratory", options={"preload": False}).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    assert errors == []
    assert requests == []


def test_where_no_worker_can_be_started_the_page_computes_itself(chromium, page):
    opened = chromium.new_page()
    opened.add_init_script("delete window.Worker")
    opened.goto(page.as_uri())
    opened.wait_for_function(CAPTIONED)
    opened.locator(".laboratory-handle").first.press("ArrowRight")
    assert caption(opened)
    opened.close()


@pytest.mark.skipif(not BUILT.exists(), reason="the pages are not built: run `make book` first")
def test_without_scripts_the_page_says_what_it_is(chromium):
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(BUILT.as_uri())
    assert "needs JavaScript" in opened.locator("#laboratory").inner_text()
    context.close()
