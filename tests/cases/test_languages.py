"""Languages: what a word is in each, from the caption file to the scores, and which pictures may be mirrored."""

import contextlib
import csv
import functools
import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from companion import checkpoints, cli, decoding, metrics, models, scenes, tasks
from companion.datasets import Example, augment
from companion.encoders import Grid, to_grid, to_pixels
from companion.tokenizer import ENGLISH, TOKENIZERS, Tokenizer, find_tokenizer, language_needed
from companion.training import TrainConfig, cider_reward
from companion.vocabulary import SPECIALS, Vocabulary, detokenize, tokenize
from tests.helpers import small_captioner


def decomposed(text):
    return unicodedata.normalize("NFD", text)


# -- words ------------------------------------------------------------------------------------------------------------

WORDS = {  # language, caption: its words, with blanks between them
    "Hindi": ("hi", "एक कुत्ता घास पर दौड़ रहा है।", "एक कुत्ता घास पर दौड़ रहा है"),
    "Hindi, two vowel signs": ("hi", "की, कि", "की कि"),
    "Marathi": ("mr", "एक कुत्रा गवतावर धावत आहे.", "एक कुत्रा गवतावर धावत आहे"),
    "Bengali": ("bn", "একটি কুকুর ঘাসের উপর দৌড়াচ্ছে।", "একটি কুকুর ঘাসের উপর দৌড়াচ্ছে"),
    "Tamil": ("ta", "ஒரு நாய் புல்வெளியில் ஓடுகிறது.", "ஒரு நாய் புல்வெளியில் ஓடுகிறது"),
    "Malayalam, a final joiner": ("ml", "അവന്\u200d നായ", "അവന്\u200d നായ"),
    "Sinhala, a joiner inside": ("si", "ක්\u200dරීඩා කරයි", "ක්\u200dරීඩා කරයි"),
    "Thai": ("th", "น้ำ หมาวิ่งเล่นๆ 10 ตัว T-shirt", "น้ำ ห ม า วิ่ ง เ ล่ น ๆ 10 ตั ว t-shirt"),
    "Thai, invisible blanks": ("th", "หมา\u200bวิ่ง", "ห ม า วิ่ ง"),
    "Lao": ("lo", "ນ້ຳ ໝາ", "ນ້ຳ ໝ າ"),
    "Burmese": ("my", "ခွေးတစ်ကောင် အင်္ဂလိပ်၏။", "ခွေး တ စ် ကော င် အ င်္ဂ လိ ပ် ၏"),
    "Khmer": ("km", "ឆ្កែរត់លើស្មៅ។", "ឆ្កែ រ ត់ លើ ស្មៅ"),
    "Arabic with vowels": ("ar", "الكَلْبُ يَجْرِي.", "الكَلْبُ يَجْرِي"),
    "Arabic, stretched, in presentation forms": ("ar", "كـــلب، ﻛﻠﺐ ﻻ", "كلب كلب لا"),
    "Hebrew with points": ("he", "הַכֶּלֶב רָץ!", "הַכֶּלֶב רָץ"),
    "Hebrew, an acronym and a maqaf": ("he", 'צה"ל ב"בית־ספר"', 'צה"ל ב"בית־ספר'),
    "Persian with a non-joiner": ("fa", "سگ می\u200cدود، کتاب\u200cها", "سگ می\u200cدود کتاب\u200cها"),
    "Urdu": ("ur", "ایک کتا گھاس پر دوڑ رہا ہے۔", "ایک کتا گھاس پر دوڑ رہا ہے"),
    "Chinese, simplified": ("zh", "一只狗在草地上奔跑。", "一 只 狗 在 草 地 上 奔 跑"),
    "Chinese, traditional": ("zh", "一隻狗，在草地上奔跑", "一 隻 狗 在 草 地 上 奔 跑"),
    "Chinese, cut into words by blanks": ("zh", "一只 狗 在 草地 上", "一 只 狗 在 草 地 上"),
    "Chinese with full-width letters": ("zh", "穿Ｔ恤，用 iPhone 15 的人", "穿 t 恤 用 iphone 15 的 人"),
    "Japanese, mixed": ("ja", "犬がTシャツを着て走る、ｶﾞｰﾃﾞﾝ々", "犬 が t シ ャ ツ を 着 て 走 る ガ ー デ ン 々"),
    "Japanese, decomposed": ("ja", decomposed("ガラス"), "ガ ラ ス"),
    "Korean": ("ko", "개가 잔디 위를 달린다.", "개가 잔디 위를 달린다"),
    "Korean, decomposed, with Chinese characters": ("ko", decomposed("大韓民國의 T셔츠"), "大韓民國의 t셔츠"),
    "Vietnamese, decomposed": ("vi", decomposed("Một con chó chạy trên cỏ"), "một con chó chạy trên cỏ"),
    "Yoruba": ("yo", "Ọkùnrin ẹ́ ń sáré", "ọkùnrin ẹ́ ń sáré"),
    "Turkish": ("tr", "KIZIL İri bir köpek, IŞIKTA", "kızıl iri bir köpek ışıkta"),
    "Azeri, decomposed": ("az", decomposed("İt QIRMIZI"), "it qırmızı"),
    "German": ("de", "Große GROẞE Straße, zwei‑Meter, Haus\u00adtür", "große große straße zwei-meter haustür"),
    "Greek": ("el", "Ένας ΣΚΥΛΟΣ τρέχει", "ένας σκυλος τρέχει"),
    "French": ("fr", "L’homme, près d'un arc-en-ciel", "l'homme près d'un arc-en-ciel"),
    "Catalan": ("ca", "col·laborar", "col·laborar"),
    "Ukrainian": ("uk", "М’яч, п'ять", "м'яч п'ять"),
    "Russian": ("ru", "Ёлка и пёс", "ёлка и пёс"),
    "emoji": ("hi", "कुत्ता 🐶 👩🏽‍🚀🇮🇳 ❤️ 1️⃣", "कुत्ता 1"),
    "marks of direction": ("he", "\u200fכלב\u200e \u2067רץ\u2069", "כלב רץ"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_caption_is_cut_into_these_words(name):
    language, caption, words = WORDS[name]
    assert TOKENIZERS[language].tokenize(caption) == [unicodedata.normalize("NFC", word) for word in words.split(" ")]


@pytest.mark.parametrize("name", WORDS)
def test_encoding_and_decoding_lose_nothing(name, tmp_path):
    """Text, ids, words, text, ids: the ids are the same; so they are with the vocabulary from a file."""
    language, caption, _ = WORDS[name]
    made = Vocabulary.build([caption], tokenizer=TOKENIZERS[language])
    made.save(tmp_path / "vocabulary.json")
    for vocabulary in (made, Vocabulary.load(tmp_path / "vocabulary.json", TOKENIZERS[language])):
        ids = vocabulary.encode(caption)
        assert Vocabulary.unk not in ids
        text = vocabulary.tokenizer.detokenize(vocabulary.decode(ids))
        assert vocabulary.encode(text) == ids


LINES = {  # captions that come back as they were, in lower case and without punctuation
    "zh": "一只狗在 t 恤上奔跑", "ja": "犬が走るガーデン", "th": "น้ำใสหมาวิ่ง 10 ตัว", "km": "ឆ្កែរត់លើស្មៅ",
    "my": "ခွေးတစ်ကောင်",
    "ko": "개가 잔디 위를 달린다", "hi": "एक कुत्ता दौड़ रहा है", "fa": "سگ می\u200cدود", "de": "ein großer hund",
    "en": "the dog's t-shirt",
}  # fmt: skip


@pytest.mark.parametrize("language", LINES)
def test_a_generated_caption_is_written_as_the_language_is(language):
    """From the ids that a search returns to `Caption.text`."""
    line, tokenizer = LINES[language], TOKENIZERS[language]
    vocabulary = Vocabulary.build([line], tokenizer=tokenizer)
    captioner = small_captioner(vocabulary)
    words = vocabulary.decode(vocabulary.encode(line))
    (caption,) = decoding.greedy(captioner, scenes.image_tensor(scenes.make_dataset("test", 1)), vocabulary)
    assert caption._replace(words=tuple(words)).text == line


PIECES = st.sampled_from(
    [*"aIİıΣσßé'’-‐ \u200c\u200d\u0301\u200b\u0640", "น้ำ", "ำ", "ก", "្", "រ", "်", "က", "္", "一", "ｶﾞ"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=10).map("".join), st.sampled_from(sorted(TOKENIZERS)))
def test_any_text_keeps_its_words(text, language):
    tokenizer = TOKENIZERS[language]
    words = tokenizer.tokenize(text)
    assert tokenizer.tokenize(tokenizer.detokenize(words)) == words
    assert all(tokenizer.is_word(word) and not re.search(r"[\s<>&_.]", word) for word in words)


def test_english_is_what_tokenize_and_detokenize_give():
    assert TOKENIZERS["en"] is ENGLISH
    assert ENGLISH.tokenize("A dog’s T-shirt") == tokenize("A dog’s T-shirt") == ["a", "dog", "'s", "t-shirt"]
    assert ENGLISH.detokenize(["a", "dog", "'s"]) == detokenize(["a", "dog", "'s"]) == "a dog's"


def test_a_word_of_markup_is_in_no_vocabulary(tmp_path):
    for word in ("<b>", "两 词", "a\x1b[31m", "。", ""):
        (tmp_path / "words.json").write_text(json.dumps([*SPECIALS, "狗", word]))
        with pytest.raises(ValueError, match="is not a word"):
            Vocabulary.load(tmp_path / "words.json", TOKENIZERS["zh"])


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_count_the_words_of_the_language():
    one, other = "一只狗在草地上奔跑", "一只狗在草地上睡觉"
    assert metrics.bleu([one], [[other]], 1) == [0.0]
    references = metrics.References([[other]], TOKENIZERS["zh"])
    assert metrics.bleu([one], references, 1) == pytest.approx([7 / 9])
    assert metrics.bleu(["की"], metrics.References([["कि"]], TOKENIZERS["hi"]), 1) == [0.0]
    assert set(metrics.score([one], references)) == set(metrics.score(["a"], [["a"]]))


def test_references_of_another_language_are_checked_and_taken_as_those_of_english():
    with pytest.raises(ValueError, match=r"references\[1\] is empty"):
        metrics.References([["狗"], []], TOKENIZERS["zh"])
    references = metrics.References([["一只狗"], ["两只猫"]], TOKENIZERS["zh"]).take([1, 1])
    assert [*references] == [["两只猫"], ["两只猫"]]
    assert metrics.bleu(["两只猫", "两只狗"], references, 1) == pytest.approx([5 / 6])


def test_the_reward_is_that_of_english_with_the_words_of_the_language():
    """English captions under the rule for German, which cuts them alike, must get the same reward."""
    train = [Example("", Path(), (text, "a dog")) for text in ("a red ball", "two cats on grass", "a man runs")]
    asked = [2, 0], [["a man", "a dog runs"], ["red ball", "a ball"]]
    assert cider_reward(train, TOKENIZERS["de"])(*asked) == cider_reward(train)(*asked)


# -- left and right ---------------------------------------------------------------------------------------------------

SIDES = {
    "de": ["ein Mann links von einem Hund", "der linke Schuh", "in der rechten Hand", "Rechts", "linksseitig"],
    "fr": ["un homme à gauche", "la main droite", "le GAUCHER"],
    "es": ["a la izquierda", "el brazo derecho", "el lado izquierdo"],
    "pt": ["à esquerda", "o braço direito"],
    "it": ["a sinistra", "la mano destra", "il lato destro"],
    "nl": ["links van de boom", "zijn rechterhand", "de linkse man"],
    "ru": ["слева от дерева", "в правой руке", "Левый берег", "справа", "направо"],
    "uk": ["ліворуч від дерева", "у правій руці"],
    "pl": ["po lewej stronie", "w prawej ręce", "na prawo"],
    "cs": ["vlevo od stromu", "v pravé ruce"],
    "sv": ["till vänster", "i högra handen"],
    "da": ["til venstre", "i højre hånd"],
    "fi": ["vasemmalla", "oikeassa kädessä"],
    "el": ["στα αριστερά", "ΔΕΞΙΑ", "το δεξί χέρι"],
    "hi": ["बाएँ हाथ में", "बाईं ओर", "दाएं", "दाहिने हाथ"],
    "bn": ["বাম দিকে", "ডান হাতে"],
    "ar": ["على اليسار", "إلى اليَمين", "يده اليمنى", "الأيسر"],
    "he": ["מצד שמאל", "בְּיָמִין", "היד הימנית"],
    "fa": ["سمت چپ", "دست راست"],
    "zh": ["左边有一只狗", "右手", "左邊"],
    "ja": ["左側に犬", "みぎ"],
    "ko": ["왼쪽에", "오른손", "우측"],
    "tr": ["SOLDA bir köpek", "sağ elinde", "SAĞINDA", "solundaki adam"],
    "vi": ["bên trái", decomposed("bên phải")],
    "th": ["ทางซ้าย", "มือขวา"],
    "id": ["di sebelah kiri", "kanannya"],
}
NO_SIDES = {
    "de": ["ein rechteckiger Tisch", "Flinke Hunde", "ein Link"],
    "fr": ["un chien court sur l'herbe"],
    "es": ["un perro corre"],
    "ru": ["лев лежит на траве", "правила игры"],
    "pl": ["lew leży", "prawie nowy"],
    "zh": ["一只狗在草地上奔跑"],
    "ja": ["犬が走る"],
    "tr": ["güneşin altında solgun bir köpek", "sağlam bir masa"],
    "hi": ["एक कुत्ता दौड़ रहा है"],
    "ar": ["كلب يجري على العشب"],
    "vi": ["một con chó, hai bé trai"],
}


@pytest.mark.parametrize(("language", "caption"), [(code, text) for code, texts in SIDES.items() for text in texts])
def test_a_side_is_known_in_its_language_and_without_a_language(language, caption):
    assert augment.flip_falsifies(caption, language)
    assert augment.flip_falsifies(caption)


@pytest.mark.parametrize(("language", "caption"), [(code, text) for code, texts in NO_SIDES.items() for text in texts])
def test_a_caption_without_a_side_survives_a_flip(language, caption):
    assert not augment.flip_falsifies(caption, language)


def test_where_the_words_for_a_side_are_not_known_no_caption_survives_a_flip():
    assert set(TOKENIZERS) - augment.SIDE_LANGUAGES
    assert set(TOKENIZERS) >= augment.SIDE_LANGUAGES
    assert augment.flip_falsifies("mbwa anakimbia", "sw")
    assert augment.flip_falsifies("ውሻ", "am")
    assert augment.flip_falsifies("собака бежит"), "without a language, letters that are not Latin are not understood"
    assert not augment.flip_falsifies("a dog runs past a café, ball in its mouth")


# -- the command ------------------------------------------------------------------------------------------------------

# Scenes and a caption for each: "|" stands between left and right, "/" between above and below.
CHINESE = """
small red circle: 一个红色的小圆形
large red circle: 图中有一个红色的大圆形
small blue square: 一个蓝色的小正方形
large blue square: 这里有一个蓝色的大正方形
small green triangle: 图中有一个绿色的小三角形
large green triangle: 一个绿色的大三角形
small yellow star: 一颗黄色的小星星
large yellow star: 图中有一颗黄色的大星星
small pink heart: 一颗粉色的小爱心
large pink heart: 这里有一颗粉色的大爱心
small purple cross: 一个紫色的小十字
large purple cross: 图中有一个紫色的大十字
large orange circle: 一个橙色的大圆形
large orange square: 图中有一个橙色的大正方形
small orange star: 一颗橙色的小星星
large red star: 一颗红色的大星星
small red heart: 这里有一颗红色的小爱心
large blue heart: 一颗蓝色的大爱心
small green cross: 一个绿色的小十字
large pink triangle: 图中有一个粉色的大三角形
small red circle | large blue square: 红色的小圆形在蓝色的大正方形的左边
small yellow star | large green triangle: 绿色的大三角形在黄色的小星星的右边
large pink heart | small purple cross: 左边是粉色的大爱心，右边是紫色的小十字
small orange square | small blue star: 橙色的小正方形在蓝色的小星星的左边
large red triangle | small green heart: 绿色的小爱心在红色的大三角形的右边
small red circle / large blue square: 红色的小圆形在蓝色的大正方形的上面
small yellow star / large green triangle: 绿色的大三角形在黄色的小星星的下面
large pink heart / small purple cross: 上面是粉色的大爱心，下面是紫色的小十字
small orange square / small blue star: 橙色的小正方形在蓝色的小星星的上面
large red triangle / small green heart: 绿色的小爱心在红色的大三角形的下面
large purple circle: 图中有一个紫色的大圆形
small yellow square: 一个黄色的小正方形
small blue triangle: 这里有一个蓝色的小三角形
large green star: 一颗绿色的大星星
large orange cross / small pink circle: 上面是橙色的大十字，下面是粉色的小圆形
"""
HELD_BACK = """
large green circle: 图中有一个绿色的大圆形
small pink square: 一个粉色的小正方形
small purple star: 这里有一颗紫色的小星星
large yellow heart: 一颗黄色的大爱心
small red cross | large blue circle: 红色的小十字在蓝色的大圆形的左边
large orange triangle / small green square: 上面是橙色的大三角形，下面是绿色的小正方形
small blue heart | small yellow triangle: 黄色的小三角形在蓝色的小爱心的右边
large red square: 那是一块红色的大正方形
"""
QUICK = TrainConfig(epochs=5, lr=3e-2, batch_size=8, captions_per_image=2, rl_epochs=1, rl_lr=1e-5, min_advantage=0.0)


def draw(objects):
    """Return the scene of a line such as "small red circle | large blue square"."""
    parts = re.split(r" [|/] ", objects)
    places = [(32, 16), (32, 48)] if "|" in objects else [(16, 32), (48, 32)] if "/" in objects else [(32, 32)]
    placed = [scenes.scene_object(part, *place) for part, place in zip(parts, places, strict=True)]
    return scenes.render_scene(placed, (128, 128, 128))


class Colours(torch.nn.Module):
    """A frozen encoder that takes no time: the mean colours of the sixteen parts of each of 7 by 7 places."""

    channels = 48

    def forward(self, images: torch.Tensor) -> Grid:
        return to_grid(F.pixel_unshuffle(F.adaptive_avg_pool2d(to_pixels(images, torch.float32) / 255, 28), 4))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """A folder of PNGs and a caption file in Chinese, written by the csv module."""
    folder = tmp_path_factory.mktemp("data") / "场景"
    folder.mkdir()
    rows = [("image", "caption", "split")]
    for split, lines in (("train", CHINESE), ("dev", HELD_BACK)):
        for objects, caption in (line.split(": ") for line in lines.strip().splitlines()):
            rows.append((f"{len(rows)}.png", caption, split))
            Image.fromarray(draw(objects).image).save(folder / rows[-1][0])
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Return a function that runs `companion train photos` in miniature: a small decoder over mean colours."""

    def run(data, *options):
        out = tmp_path_factory.mktemp("runs") / "run"
        with contextlib.redirect_stderr(io.StringIO()) as err:
            status = cli.main(["train", "photos", "--data", str(data), "--out", str(out), *options])
        return status, out, err.getvalue().splitlines()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "SIZES", {"base": ((16, 16, 16, 32), 32)})
        patch.setattr(models, "EfficientNetLite0", Colours)
        patch.setattr(tasks.photos, "train", functools.partial(tasks.photos.train, config=QUICK))
        yield run


@pytest.fixture(scope="module")
def runs(chinese, train):
    """Runs with the rule for Chinese and with that for English: their folders, cards and lines on standard error."""
    runs = {}
    for language, options in (("zh", ["--language", "zh-CN"]), ("en", [])):
        status, out, err = train(chinese, *options)
        assert status == 0
        runs[language] = out, checkpoints.card(out), [line for line in err if line.startswith(f"{chinese}: ")]
    return runs


def test_held_back_captions_in_chinese_are_known_by_characters_and_not_by_lines(runs):
    """What each rule gives, side by side (pytest -s prints it)."""
    known = {language: card["data"]["known_words"] for language, (_, card, _) in runs.items()}
    for language, (_, card, _) in runs.items():
        size, scores = card["vocabulary_size"], card["metrics"]
        print(f"{language}: {size} words, {known[language]:.1%} of the held-back known, BLEU-1 {scores['bleu1']:.2f}")
    assert known["zh"] > 0.9
    assert known["en"] == 0.0
    assert runs["zh"][1]["metrics"]["bleu1"] > 0.15
    assert runs["en"][1]["metrics"]["bleu1"] == 0.0


def test_the_checkpoint_keeps_its_language_and_captions_are_written_in_it(runs, chinese, tmp_path, capsys):
    out, card, _ = runs["zh"]
    assert card["language"] == "zh"
    assert card["command"].count("--language zh") == 1
    assert checkpoints.load(out).vocabulary.tokenizer == TOKENIZERS["zh"]
    files = {kind: tmp_path / kind for kind in ("csv", "coco")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    assert cli.main(["caption", str(chinese), "--checkpoint", str(out), *options]) == 0
    with open(files["csv"], newline="", encoding="utf-8") as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    assert len(captions) == 43
    assert all(re.fullmatch("[\u4e00-\u9fff]+", caption) for caption in captions), "there is a blank"
    assert [result["caption"] for result in json.loads(files["coco"].read_text())] == captions
    capsys.readouterr()
    evaluate = ["evaluate", "photos", "--data", str(chinese), "--json"]
    assert cli.main([*evaluate, "--checkpoint", str(out)]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert cli.main([*evaluate, "--results", str(files["coco"]), "--language", "zh"]) == 0
    assert json.loads(capsys.readouterr().out) == scores


NOTES = {
    "zh": [],
    "en": ["does not find the words of most captions; name their language, such as --language zh", "only 0% of the"],
}


@pytest.mark.parametrize("language", NOTES)
def test_a_run_says_what_the_rule_does_not_find(language, runs):
    lines = [line for line in runs[language][2] if "look like one of another split" not in line]
    assert len(lines) == len(NOTES[language]), lines
    assert all(note in line for note, line in zip(NOTES[language], lines, strict=True)), lines


@pytest.mark.parametrize(
    ("language", "caption", "note"),
    [
        ("sw", "mbwa anakimbia", "the words for left and right are not known in 'sw', so no picture is mirrored"),
        (None, "собака бежит", "no picture is mirrored without the language of the captions; name it with --language"),
        ("ru", "собака бежит", None),
        (None, "a dog runs", None),
    ],
)
def test_a_run_says_that_no_picture_is_mirrored(language, caption, note):
    examples = [Example("", Path(), (caption,))]
    notes = tasks.languages.language_notes(examples, TOKENIZERS[language or "en"], language)
    assert notes == ([note] if note else [])


def test_no_picture_is_mirrored_unless_its_captions_are_understood():
    examples = [
        Example("", Path(), texts) for texts in (("一只狗", "左边"), ("一只狗",), ("a dog",), ("ein Hund links",))
    ]
    for language, mirrorable in (
        ("zh", [False, True, True, True]),
        (None, [False, False, True, False]),
        ("de", [True, True, True, False]),
        ("sw", [False] * 4),
    ):
        assert tasks.languages.find_mirrorable(examples, language).tolist() == mirrorable


def test_training_goes_on_in_the_language_of_a_checkpoint_and_in_no_other(runs, chinese, train):
    start = str(runs["zh"][0])
    assert tasks.languages.choose_tokenizer(None, checkpoints.load(start), start) == TOKENIZERS["zh"]
    status, _, err = train(chinese, "--init-from", start, "--language", "ja")
    assert status == 1
    assert err[-1] == f"companion: {start}: was trained on captions in 'zh'; leave --language away"


def test_captioners_in_two_languages_do_not_form_an_ensemble():
    words = [*SPECIALS, "hund"]
    german, dutch = (small_captioner(Vocabulary(words, TOKENIZERS[language])) for language in ("de", "nl"))
    german.config = dutch.config = {"task": "photos"}
    assert tasks.ensembling.incompatibility(german, german) is None
    assert "another vocabulary" in tasks.ensembling.incompatibility(dutch, german)


@pytest.mark.parametrize("code", ["cn", "Chinese", "", "zh CN", "deutsch"])
def test_an_unknown_code_is_one_line_that_lists_the_choices(code, capsys, tmp_path):
    with pytest.raises(SystemExit):
        cli.main(["train", "photos", "--data", ".", "--out", str(tmp_path / "out"), "--language", code])
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no language called" in line
    assert ", ".join(sorted(TOKENIZERS)) in line
    with pytest.raises(ValueError, match="there is no language called"):
        find_tokenizer(code)


def test_a_language_for_a_checkpoint_that_has_one_is_a_wrong_call(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "photos", "--data", ".", "--language", "de"])
    assert "--language is for --results" in capsys.readouterr().err


def test_a_card_without_a_language_is_english_and_one_with_an_unknown_language_is_refused(tmp_path):
    checkpoints.save(small_captioner(Vocabulary([*SPECIALS, "a"])), tmp_path, {})
    card = json.loads((tmp_path / "card.json").read_text())
    assert card.pop("language") == "en"
    for language, message in ((None, ""), ("xx", "there is no language called 'xx'"), (["zh"], "card.json")):
        (tmp_path / "card.json").write_text(json.dumps(card | ({} if language is None else {"language": language})))
        if language is None:
            assert checkpoints.card(tmp_path)["language"] == "en"
        else:
            with pytest.raises(ValueError, match=message):
                checkpoints.card(tmp_path)


SCRIPTS = {
    "zh": "一只狗在草地上奔跑", "ja": "犬が芝生の上を走っている", "th": "สุนัขวิ่งบนหญ้า", "hi": "एक कुत्ता दौड़ रहा है",
    "bn": "একটি কুকুর",
    "ta": "ஒரு நாய்", "ar": "الكَلْبُ يَجْرِي", "he": "הַכֶּלֶב רָץ", "my": "ခွေးတစ်ကောင်", "km": "ឆ្កែរត់", "lo": "ໝາແລ່ນ",
}  # fmt: skip


@pytest.mark.parametrize("language", SCRIPTS)
def test_captions_that_the_rule_of_english_mangles_are_found_by_their_script(language):
    captions = [SCRIPTS[language]] * 6 + ["a dog runs"] * 4
    assert language_needed(captions, ENGLISH) == language
    assert language_needed(captions[4:], ENGLISH) is None, "few of them"
    assert language_needed(captions, TOKENIZERS["hi"]) is None, "every other rule reads all scripts"
    kept = ENGLISH.tokenize("ein Hund läuft, пёс бежит, 개가 달린다, كلب يجري")
    assert len(kept) == 9
    assert language_needed(["ein Hund läuft", "пёс бежит", "개가 달린다", "كلب يجري"], ENGLISH) is None


def test_a_language_is_added_by_one_line(monkeypatch, tmp_path):
    """The command knows it, and a model in it generates captions as long as the line says."""
    monkeypatch.setitem(TOKENIZERS, "qq", Tokenizer("qq", max_words=5))
    options = cli.build_parser().parse_args(["train", "photos", "--data", ".", "--out", ".", "--language", "qq"])
    assert options.language == "qq"
    checkpoints.save(models.build("scenes", Vocabulary([*SPECIALS, "狗"], TOKENIZERS["qq"])), tmp_path, {})
    captioner = checkpoints.load(tmp_path)
    assert captioner.vocabulary.tokenizer == TOKENIZERS["qq"]
    with torch.no_grad():
        captioner.decoder.output_proj.bias[Vocabulary.end] = -50
    (caption,) = captioner.caption(scenes.image_tensor([draw("large red circle")]))
    assert caption.text == "狗" * 5
