"""Shear, zoom and mirror pictures, one matrix per picture, and repair the captions that a mirror makes false.

The four classic augmentations are rescaling, shear, zoom and horizontal flip. The first is a division. The other three
are one affine matrix, so a picture is resampled once and not three times. A flip changes what is true: "the dog on the
left" is then on the right; `flip_falsifies` and `mirror_caption` handle such captions. Explained in the chapter on
augmentation.
"""

import re
import unicodedata
from functools import cache

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

# Not "bright" or "upright"; "left-hand" is found up to its hyphen. Only the ASCII letters, in either case.
_SIDE = re.compile(r"(?<![^\W_])(?ai:(left|right))(?=(?ai:most|wards?|hand(?:ed)?)?(?![^\W_]))")

# The words for left and right in their forms, in lower case; `*` is any ending. A word that also means something else
# ("droit": straight) costs no more than a mirror image; a form that is missing teaches a false caption.
_SIDE_WORDS = {
    "af": "links* regs* linker* regter*",
    "az": "sol sola solda* solun* solum* sağ sağa sağd* sağ[ıi]*",
    "bg": "(от|на|в)?ляв* лев(и|ия|ият|ите) (от|на|в)?дясн* десен десн*",
    "ca": "esquerr* dret dreta drets dretes",
    "cs": "lev(ý|á|é|ého|ém|ému|ým|ých|ými|ou|í|ice) levo* (v|na|z|do)lev[ao] "
    "prav(ý|á|é|ého|ém|ému|ým|ých|ými|ou|í|ice) pravo* (v|na|z|do)prav[ao]",
    "da": "venstre* højre*",
    "de": "links* linke linke[mnrs] linker[-]?hand rechts rechts* rechte rechte[mnrs] rechter[-]?hand",
    "el": "αριστερ* δεξι* δεξί*",
    "es": "izquierd* derech* zurd[oa]* diestr[oa]*",
    "et": "vasak* parem*",
    "eu": "ezker* eskuin* eskui*",
    "fi": "vasen vasem* vasur* oikea* oikei*",
    "fr": "gauch* droit* bâbord tribord",
    "gl": "esquerd* dereit* zurd[oa]*",
    "hr": "(u|na|s)?lijev* (u|na|z)?desn*",
    "hu": "bal balra balról baltól balfel* balold* balj[aá]* balk[eé]z* jobb*",
    "id": "(di|ke)?kiri(nya)? (di|ke)?kanan(nya)?",
    "is": "vinstr* hægr*",
    "it": "sinistr* destr[aeio] destrors* mancin*",
    "lt": "kair* dešin*",
    "ms": "(di|ke)?kiri(nya)? (di|ke)?kanan(nya)?",
    "nl": "links* linker* rechts* rechter*",
    "no": "venstre* høyre* høgre*",
    "pl": "lew(y|a|e|i|ego|ej|emu|ą|ym|ych|ymi|o) lewo* lewic* praw(y|a|e|i|ego|ej|emu|ą|ym|ych|ymi) prawo* prawic*",
    "pt": "esquerd* direit* canhot* destr[oa] destr[oa]s",
    "ro": "stâng* stîng* stang stanga dreapt* drept dreptul dreptului drepte* drepți*",
    "ru": "лев(ый|ая|ое|ые|ого|ой|ою|ому|ую|ым|ых|ыми|ом|ее|ша|шой|ши) лево* [с]лева влево налево "
    "прав(ый|ая|ое|ые|ого|ой|ою|ому|ую|ым|ых|ыми|ом|ее|ша|шой|ши) право* [с]права вправо направо",
    "sk": "ľav(ý|á|é|ého|ej|ému|om|ým|ú|ou|í|ých|ými|ica|ici) ľavo* (v|na|z|do)ľav[ao] "
    "prav(ý|á|é|ého|ej|ému|om|ým|ú|ou|í|ých|ými|ica|ici) pravo* (v|na|z|s|do)prav[ao]",
    "sv": "vänster* vänstr* höger* högra",
    "tr": "sol sola soldan? soldak* solun* solum* sollar* solak sağ sağa sağd* sağ[ıi]* sağlak sağlar*",
    "uk": "лів(ий|а|е|і|ого|ої|ою|ому|ій|у|им|их|ими|ша|іше) ліво* (з|в|на)лів[ао] зліва ліворуч "
    "прав(ий|а|е|і|ого|ої|ою|ому|ій|у|им|их|ими|ша|іше) право* (в|на)право справа праворуч",
    "vi": "trái phải",
}
# The same where other letters may stand before and behind them: parts of words.
_SIDE_PARTS = {
    "ar": "يسار يمين [أا]يسر [أا]يمن يسر[ىي] يمن[ىي] ميسر ميمن",
    "bn": "বাম বাঁ ডান",
    "fa": "چپ راست",
    "gu": "ડાબ જમણ",
    "he": "שמאל ימין ימנ ימני",
    "hi": "बा[ँं]?[एईय] दा[ँं]?[एईय] बाम वाम दाहिन दक्षिण",
    "ja": "左 右 ひだり みぎ",
    "ka": "მარცხ მარჯვ",
    "km": "ឆ្វេង ស្តាំ ស្ដាំ",
    "kn": "ಎಡ ಬಲ",
    "ko": "왼 오른 좌측 우측 좌우 좌편 우편 좌로 우로",
    "lo": "ຊ້າຍ ຂວາ",
    "ml": "ഇടത ഇടം വലത വലം",
    "mr": "डाव उजव",
    "my": "ဘယ် ညာ လက်ဝဲ လက်ယာ",
    "pa": "ਖੱਬ ਸੱਜ",
    "ta": "இடது இடப் வலது வலப்",
    "te": "ఎడమ కుడి",
    "th": "ซ้าย ขวา",
    "ur": "بائیں بایاں دائیں دایاں داہن",
    "zh": "左 右",
}
SIDE_LANGUAGES = frozenset({"en", *_SIDE_WORDS, *_SIDE_PARTS})  # those in which left and right are known

# Vowels of Arabic and Hebrew, which may be written or not, and tatweel; letters of any alphabet but the Latin one.
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1-\u05c7\u0610-\u061a\u0640\u064b-\u0653\u0656-\u065f\u0670]")
_NOT_LATIN = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")


def rescale(images: UInt8[Tensor, "*batch channel row col"]) -> Float[Tensor, "*batch channel row col"]:
    """Return bytes 0 to 255 as numbers 0 to 1."""
    return images / 255


def affine(
    shear: Float[Tensor, "batch"], zoom: Float[Tensor, "batch"], flip: Bool[Tensor, "batch"]
) -> Float[Tensor, "batch 2 3"]:
    r"""Return the matrices that shear, then zoom, then flip pictures about their centre.

    .. math:: \begin{pmatrix} x_{in} \\ y_{in} \end{pmatrix} =
              \begin{pmatrix} f / z & \tan(s) / z & 0 \\ 0 & 1 / z & 0 \end{pmatrix}
              \begin{pmatrix} x_{out} \\ y_{out} \\ 1 \end{pmatrix}

    For each place of the new picture, the matrix gives the place in the old one to sample, hence the divisions: z = 2
    makes everything twice as large. x runs to the right and y down, both from -1 to 1 between the outer edges.

    Args:
        shear: s, in degrees, as in Keras. In a square picture an upright line leans by so many degrees, its top to the
            right when s > 0.
        zoom: z, a factor. In Keras a factor above 1 makes things smaller.
        flip: f is -1 where True, else 1.

    Source: Jaderberg et al. (2015), Spatial Transformer Networks, equation 1.
    """
    slope = torch.tan(torch.deg2rad(shear))
    sign = torch.where(flip, -1.0, 1.0).to(zoom.dtype)
    zero = torch.zeros_like(zoom)
    x_in = torch.stack([sign / zoom, slope / zoom, zero], dim=-1)
    y_in = torch.stack([zero, 1 / zoom, zero], dim=-1)
    return torch.stack([x_in, y_in], dim=-2)


def compose(first: Float[Tensor, "batch 2 3"], second: Float[Tensor, "batch 2 3"]) -> Float[Tensor, "batch 2 3"]:
    """Return the matrices that have the effect of `first` and then `second`.

    They map from the new picture back to the old one, so the product is `first @ second`.
    """
    last_row = first.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(first), 1, 3)
    return first @ torch.cat([second, last_row], dim=1)


def apply(
    images: Float[Tensor, "batch channel row col"], matrices: Float[Tensor, "batch 2 3"]
) -> Float[Tensor, "batch channel row col"]:
    """Return each picture resampled through its matrix, bilinear between pixels; edge pixels extend beyond the edge."""
    # align_corners must be the same in both: False says that -1 and 1 are the outer edges of the outer pixels.
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random(
    batch: int,
    generator: torch.Generator,
    *,
    shear: float = 10.0,
    zoom: float = 0.2,
    flip: bool | Bool[Tensor, "batch"] = True,
) -> Float[Tensor, "batch 2 3"]:
    """Return random matrices, uniform within the given limits; every second picture is flipped.

    The often copied `shear_range=0.2` means 0.2 degrees in Keras: in 224 pixels, that moves the edge by less than half
    of one.

    Args:
        batch: number of matrices.
        generator: source of randomness.
        shear: limit in degrees: shear is within ±`shear`.
        zoom: limit of the factor, which is within 1 ± `zoom`.
        flip: whether a picture may be flipped: for all, or for each (see `flip_falsifies`).
    """
    assert 0 <= shear < 90, f"shear={shear} degrees: 90 would lay everything flat"
    assert 0 <= zoom < 1, f"zoom={zoom}: at 1 - zoom = 0 nothing would be left of the picture"
    uniform = torch.rand(3, batch, generator=generator, device=generator.device)
    allowed = torch.as_tensor(flip, device=uniform.device)
    return affine(shear * (2 * uniform[0] - 1), 1 + zoom * (2 * uniform[1] - 1), (uniform[2] < 0.5) & allowed)


def flip_falsifies(caption: str, language: str | None = None) -> bool:
    """Return whether a caption names a side (left, rightmost, leftward, right-hand), so that a flip may make it false.

    Any "left" counts, even in "a dog left alone". Lettering is mirrored too, which no caption tells.

    Args:
        caption: in the language.
        language: a code of `SIDE_LANGUAGES`; in any other, every caption counts, because it may name a side. None is
            English, or whatever else a data set may be in without saying so: words of all these languages count, and
            every caption that is not in Latin letters.
    """
    if language == "en":
        return bool(_SIDE.search(caption))
    if language is not None and language not in SIDE_LANGUAGES:
        return True
    text = _POINTS.sub("", unicodedata.normalize("NFC", caption)).lower()
    if language is None and (_SIDE.search(text) or not is_latin(text)):
        return True
    return bool(_sides(language).search(text))


@cache
def _sides(language: str | None) -> re.Pattern[str]:
    """Return the pattern of the words for left and right in a language, or in all those with Latin letters."""
    parts = _SIDE_PARTS.get(language or "", "").split()
    words = " ".join(_SIDE_WORDS.values()) if language is None else _SIDE_WORDS.get(language, "")
    whole = [word.replace("*", r"[^\W_]*") for word in words.split()]
    return re.compile("|".join([*parts, *([rf"(?<![^\W_])(?:{'|'.join(whole)})(?![^\W_])"] if whole else [])]))


def is_latin(text: str) -> bool:
    """Return whether all letters of a text are Latin ones."""
    return _NOT_LATIN.search(unicodedata.normalize("NFC", text)) is None


def mirror_caption(caption: str) -> str:
    """Return the English caption of the mirrored picture: left and right exchanged, capitals kept (left, Left, LEFT).

    Mirroring twice gives the caption back.
    """
    return _SIDE.sub(_other_side, caption)


def _other_side(match: re.Match[str]) -> str:
    side = match[1]
    other = "right" if side.lower() == "left" else "left"
    return other.upper() if side.isupper() else other.capitalize() if side[0].isupper() else other
