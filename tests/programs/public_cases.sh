#!/usr/bin/env bash
# Faults that users of other captioners met, each by its smallest input: what is right and what happens now, side by side.
#
#   bash tests/programs/public_cases.sh [F2 F7 ...]     all kinds without an argument; exit status 1 if anything is wrong
#   P=python                                            another Python that has what `companion` needs (default .venv's)
#
# The inputs are written by other programs than the package, in a temporary folder that goes at the end. A check whose
# program is missing here (zip) is skipped and counted. The numbers of the kinds have gaps.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
P=${P:-$project/.venv/bin/python}
P=$(command -v "$P") || { echo "there is no python at ${P:-.venv/bin/python}: run make book first, or set P" >&2; exit 2; }
[[ $P == /* ]] || P=$PWD/$P
for kind in "$@"; do
  grep -q "^begin $kind " "${BASH_SOURCE[0]}" || { echo "there is no such kind: $kind" >&2; exit 2; }
done
T=$(mktemp -d) || exit 2
trap 'exec 8>&- 9<&-; wait; rm -rf "$T"' EXIT
cd "$T" || exit 2
export LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE=1 TQDM_DISABLE=1
export PYTHONPATH=$project MPLCONFIGDIR=$T/mpl
wanted=" $* " kind="" cases=0 right=0 wrong=0 skipped=0 missing=""

# One Python that has imported the package runs each call in a child of its own, because the import takes seconds.
cat > server.py <<'PY'
import os, sys, traceback
from companion import cli, tasks
from companion.cli.figures import import_matplotlib

import_matplotlib()
top = os.getcwd()
for folder in sys.stdin:
    child = os.fork()
    if not child:
        status = 1
        try:
            for stream in (1, 2):
                os.dup2(os.open(f"{top}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
            os.chdir(folder[:-1])
            program, *words = open(f"{top}/call", encoding="utf-8", newline="").read().split("\0")
            status = cli.main(words[:-1]) if program == "companion" else exec(words[0], {"__name__": "__main__"}) or 0
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
PY
mkfifo to from
"$P" server.py < to > from &
exec 8> to 9< from
call() {
  : > "$T/output"
  local status=1
  echo "$PWD" >&8 && read -r status <&9
  cat "$T/output"
  return "$status"
}
companion() { printf '%s\0' companion "$@" > "$T/call"; call; }
python() { { printf '%s\0' python; cat; } > "$T/call"; call; }
fresh_companion() { "$P" -m companion.cli "$@" 2>&1; }

# begin F1 "what it is": true if it is wanted; then an empty folder is the current one, with 0.jpg to 7.jpg one above
begin() {
  [[ $wanted == "  " || $wanted == *" $1 "* ]] || return 1
  kind=$1 cases=$((cases + 1))
  echo; echo "### $1 $2"
  mkdir "$T/$cases" && cd "$T/$cases" || exit 2
}
# check "what" "what is right, in words" "a pattern that the output matches" "the output": one line
check() {
  local now=${4//"$T/$cases/"/} verdict=ok
  now=$(tr -s '\r\n\t ' ' ' <<< "$now") && now=${now% }
  if [[ $now =~ $3 ]]; then right=$((right + 1)); else wrong=$((wrong + 1)) verdict=WRONG; fi
  ((${#now} <= 240)) || now="${now:0:110} ... ${now: -120}"
  echo "$kind $1 | right: $2 | now: $now | $verdict"
}
# needs PROGRAM "what": false, said and counted, if the program is missing
needs() {
  command -v "$1" > /dev/null && return
  skipped=$((skipped + 1))
  [[ $missing == *" $1"* ]] || missing+=" $1"
  echo "$kind $2 | skipped: there is no $1 here"
  return 1
}
evaluate() { companion evaluate photos --data "$@"; }
scores="cider_d +[0-9]"  # the last line of an evaluation

python <<'PY'
import numpy as np
from PIL import Image
for i in range(8):
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(f"{i}.jpg")
PY

begin F1 "the first note stands for the reason" && {
  mkdir -p a/images; cp ../0.jpg a/images
  printf 'image,caption\r\nimages/9.jpg,A dog.\r\n' > a/captions.csv
  check "CRLF, no such picture" "the reason, not the line ends" "issue is [^ ]*captions.csv:2: there is no picture 'images/9.jpg'" "$(evaluate a --split train)"
  printf '\xef\xbb\xbfimage,caption\nimages/9.jpg,A dog.\n' > a/captions.csv
  check "byte order mark, no such picture" "the reason, not the mark" "issue is [^ ]*captions.csv:2: there is no picture 'images/9.jpg'" "$(evaluate a --split train)"
  printf 'image,caption\r\nimages/0.jpg,A dog.\r\n' > a/captions.csv
  check "CRLF" "read; the line ends are a note" "CRLF.*$scores" "$(evaluate a --split train)"
  printf '\xef\xbb\xbfimage,caption\nimages/0.jpg,A dog.\n' > a/captions.csv
  check "byte order mark" "read" "$scores" "$(evaluate a --split train)"
  printf 'image,caption\r0.jpg,A dog.\r' > a/captions.csv
  check "lone CR" "read" "$scores" "$(evaluate a --split train)"
}

begin F2 "a folder without splits" && {
  mkdir a; cp ../[0-7].jpg a
  { echo image,caption; for i in 0 1 2 3 4 5 6 7; do echo "$i.jpg,A dog runs."; done; } > a/captions.csv
  held="there is no split 'dev'; of 8 pictures [0-9] as 'dev' were held out"
  check "train" "a split is made, one line says how, it trains" "$held.*saved in run" "$(companion train photos --data a --out run)"
  check "evaluate" "measured on the pictures that were held out" "$held.*$scores" "$(evaluate a --checkpoint run)"
  check "another share for the same model" "refused: it would be measured on trained pictures" "was trained with --split-ratio 0.9/0.1" "$(evaluate a --checkpoint run --split-ratio 0.5/0.5)"
}

begin F3 "one damaged picture stops a run" && {
  mkdir a; cp ../[0-7].jpg a
  { echo image,caption,split; for i in 0 1 2 3 4 5; do echo "$i.jpg,A dog runs.,train"; done; for i in 6 7; do echo "$i.jpg,A dog.,dev"; done; } > a/captions.csv
  head -c -2 ../7.jpg > a/7.jpg
  head -c 400 ../5.jpg > a/5.jpg
  check "evaluate" "named, left out, the other is scored" "7\.jpg: .*$scores" "$(evaluate a)"
  check "train" "both named and left out, it trains with the others" "5\.jpg: .*7\.jpg: .*saved in run|7\.jpg: .*5\.jpg: .*saved in run" "$(companion train photos --data a --out run)"
  check "evaluate --strict" "stops at the first" "^companion: [^ ]*7\.jpg: [^|]*$" "$(evaluate a --strict | tail -1)"
  check "train --strict" "stops at the first" "^companion: [^ ]*[57]\.jpg: [^|]*$" "$(companion train photos --data a --out strict --strict | tail -1)"
}

begin F4 "floats from 0 to 1: the same caption for every picture" && {
  check "20 scenes" "the captions of the bytes" "^([0-9]+) different captions as bytes, all as floats: the same captions$" "$(python <<'PY'
from companion import checkpoints, scenes
captioner, images = checkpoints.load("scenes"), scenes.image_tensor(scenes.make_dataset("test", 20))
bytes_, floats = ([c.text for c in captioner.caption(given)] for given in (images, images / 255))
print(len(set(bytes_)), "different captions as bytes, all as floats:", "the same captions" if floats == bytes_ else "others")
PY
)"
  check "normalised" "one line with the picture's index" "ValueError: .*(picture|image)[^ ]* *[0-9]" "$(python <<'PY'
from companion import checkpoints, scenes
images = scenes.image_tensor(scenes.make_dataset("test", 2)) / 255
try:
    print(checkpoints.load("scenes").caption((images - 0.45) / 0.22))
except ValueError as error:
    print("ValueError:", error)
PY
)"
}

begin F5 "captions that are not English" && {
  mkdir a; cp ../[0-7].jpg a
  { echo image,caption; for i in 0 1 2 3 4 5 6 7; do echo "$i.jpg,一只狗在草地上奔跑。"; done; } > a/captions.csv
  check "Chinese, train" "a line names the option" "--language zh.*saved in plain" "$(companion train photos --data a --out plain)"
  check "Chinese, train --language zh" "trained without such a line" "^saved in run$" "$(companion train photos --data a --out run --language zh | grep -e --language -e saved)"
  check "its words" "characters" '"狗", ' "$(cat run/vocabulary.json)"
  check "its captions" "no blanks" "^[一只狗在草地上奔跑]+$" "$(companion caption a/0.jpg --checkpoint run)"
  check "Hindi" "a letter with its vowel signs is one" "^\\['कुत्ता'\\]$" "$(python <<< 'from companion.tokenizer import TOKENIZERS; print(TOKENIZERS["hi"].tokenize("कुत्ता"))')"
  printf 'image,caption,split\n0.jpg,कि,dev\n' > a/captions.csv
  echo '[{"image_id": "0.jpg", "caption": "की"}]' > results.json
  check "BLEU-1 of की against कि" "0" "bleu1 0\.0000" "$(evaluate a --results results.json --language hi)"
  check "an unknown language" "one line with the choices" "choose from .*zh" "$(companion train photos --data a --out no --language xx)"
}

begin F5 "mirrored pictures with captions that are not English" && {
  check "links von" "known, or not mirrored" "^True True$" "$(python <<'PY'
from companion.datasets import augment
caption = "ein Mann links von einem Hund"
print(augment.flip_falsifies(caption), augment.flip_falsifies(caption, "de"))
PY
)"
  check "a language whose words for it are not known" "not mirrored" "^True$" "$(python <<< 'from companion.datasets import augment; print(augment.flip_falsifies("mtu na mbwa", "sw"))')"
}

begin F6 "names with odd blanks and joiners" && {
  for name in $'Screenshot at 4.42.48\u202fPM.jpg' $'Snímek obrazovky v\u00a013.05.05.jpg' $'👨\u200d👩.jpg'; do
    rm -rf a; mkdir -p a/images; cp ../0.jpg "a/images/$name"
    printf 'image,caption\n%s,A dog.\n' "$name" > a/captions.csv
    check "$name in a folder" "read" "$scores" "$(evaluate a --split train)"
    printf 'image,caption,split\n%s,a dog,train\n' "$name" > a/captions.csv
    needs zip "$name in a zip" && {
      rm -rf a.zip out; zip -qr a.zip a
      check "$name in a zip" "unpacked" "train: 1 photographs" "$(companion data flickr8k --archive a.zip --out out)"
    }
  done
}

begin F6 "the file's name decomposed (NFD), the caption file's composed (NFC)" && {
  mkdir a; cp ../0.jpg $'a/cafe\u0301.jpg'
  printf 'image,caption\ncaf\u00e9.jpg,A dog.\n' > a/captions.csv
  check "é" "found" "$scores" "$(evaluate a --split train)"
}

# set/ with two pictures and their captions, and files that systems add
everyday_set() {
  mkdir -p set/images; cp ../0.jpg ../1.jpg set/images
  printf 'image,caption,split\n0.jpg,a dog,train\n1.jpg,a cat,dev\n' > set/captions.csv
  for n in ._set .DS_Store README.txt; do echo x > "$n"; done
}
unpacked="train: 1 photographs.*dev: 1 photographs"

begin F7 "tar made on macOS" && {
  everyday_set; tar czf macos.tar.gz ._set set
  check "._set beside set/" "unpacked" "$unpacked" "$(companion data flickr8k --archive macos.tar.gz --out out)"
}

begin F7 ".DS_Store or README.txt beside the one folder of a zip" && {
  everyday_set
  for file in .DS_Store README.txt; do
    needs zip "$file" && {
      zip -qr "$file.zip" "$file" set
      check "$file" "unpacked" "$unpacked" "$(companion data flickr8k --archive "$file.zip" --out "out$file")"
    }
  done
}

begin F7 "zip of PowerShell 5" && {
  everyday_set
  "$P" - <<'PY'
import zipfile
with zipfile.ZipFile("powershell5.zip", "w") as z:
    for name in ("images/0.jpg", "images/1.jpg", "captions.csv"):
        member = zipfile.ZipInfo("x")
        member.filename = "set\\" + name.replace("/", "\\")
        z.writestr(member, open("set/" + name, "rb").read())
PY
  check "backslashes" "unpacked" "$unpacked" "$(companion data flickr8k --archive powershell5.zip --out out)"
}

# what `datasets.read` makes of the folder a, beside the command
captions_of() {
  python <<PY
from pathlib import Path
from companion import datasets
read = datasets.read(Path("$1"))
print({e.name: e.captions for examples in read.splits.values() for e in examples}, *read.issues)
PY
}

begin F8 "a quoted caption with a line break (RFC 4180)" && {
  mkdir a; cp ../0.jpg a; printf 'image,caption\n0.jpg,"A dog runs\non the beach."\n' > a/captions.csv
  check "captions" "one caption" "^\{'0.jpg': \('A dog runs( |.n)on the beach.',\)\}$" "$(captions_of a)"
  check "evaluate" "read" "$scores" "$(evaluate a --split train)"
}

begin F8 "a blank before the quotation mark" && {
  mkdir a; cp ../[12].jpg a; printf 'image,caption\n1.jpg, "A cat, asleep."\n2.jpg,A bird.\n' > a/captions.csv
  check "captions" "read as quoted" "^\{'1.jpg': \('A cat, asleep.',\), '2.jpg': \('A bird.',\)\}$" "$(captions_of a)"
  check "evaluate" "read" "$scores" "$(evaluate a --split train)"
}

begin F9 "Flickr30k as Kaggle has it: results.csv with |, one row without its second" && {
  mkdir -p a/flickr30k_images; cp ../0.jpg a/flickr30k_images/1.jpg
  printf 'image_name| comment_number| comment\n1.jpg| 0| A dog .\n1.jpg| 4   A dog runs .\n' > a/results.csv
  check "results.csv" "read, the broken row too or named" "results.csv:3.*$scores" "$(evaluate a --split train)"
}

begin F9 "imagefolder: metadata.jsonl or metadata.csv" && {
  mkdir -p a/train b/train; cp ../0.jpg a/train/a.jpg; cp ../0.jpg b/train/a.jpg
  echo '{"file_name": "a.jpg", "text": "A dog."}' > a/train/metadata.jsonl
  printf 'file_name,text\na.jpg,A dog.\n' > b/train/metadata.csv
  check "metadata.jsonl" "read" "$scores" "$(evaluate a --split train)"
  check "metadata.csv" "read" "$scores" "$(evaluate b --split train)"
}

begin F9 "img2dataset: 00000/000000000.jpg, .txt, .json" && {
  mkdir -p a/00000; cp ../0.jpg a/00000/000000000.jpg
  echo "A dog." > a/00000/000000000.txt; echo '{"caption": "A dog.", "key": "000000000", "status": "success"}' > a/00000/000000000.json
  check "a shard as files" "read" "$scores" "$(evaluate a --split train)"
}

begin F9 "AI Challenger: a JSON list, caption a list" && {
  mkdir -p a/images; cp ../0.jpg a/images/a.jpg
  echo '[{"image_id": "a.jpg", "caption": ["一只狗", "一只狗在跑"]}]' > a/caption_train_annotations_20170902.json
  check "train" "read" "$scores" "$(evaluate a --split train)"
}

begin F9 "VizWiz: annotations/train.json, captions marked is_rejected" && {
  mkdir -p a/train a/annotations; cp ../0.jpg a/train/v.jpg
  echo '{"images": [{"id": 0, "file_name": "v.jpg"}], "annotations": [{"id": 0, "image_id": 0, "caption": "A can of soup.", "is_rejected": false, "is_precanned": false}, {"id": 1, "image_id": 0, "caption": "Quality issues are too severe to recognize visual content.", "is_rejected": true, "is_precanned": true}]}' > a/annotations/train.json
  check "evaluate" "read" "$scores" "$(evaluate a --split train)"
  check "captions" "without the rejected one" "^\{'train/v.jpg': \('A can of soup.',\)\}" "$(captions_of a)"
  mv a/annotations/train.json a/annotations/captions_train.json
  check "as captions_train.json" "without the rejected one" "^\{'train/v.jpg': \('A can of soup.',\)\}" "$(captions_of a)"
}

begin F10 "a NaN picture in a batch moves the captions of the others" && {
  check "the second of three" "three captions, or an error that names it" "ValueError: .*(picture|image)[^ ]* *1([^0-9]|$)" "$(python <<'PY'
from companion import checkpoints, scenes
images = scenes.image_tensor(scenes.make_dataset("test", 3)).float()
images[1] = float("nan")
try:
    print(len(checkpoints.load("scenes").caption(images)), "captions")
except ValueError as error:
    print("ValueError:", error)
PY
)"
}

begin F11 "float16, q.k above 65,504, the quotient below" && {
  check "scaled_dot_product" "finite, as PyTorch's" "^\[\[\[1.0, 1.0, 1.0, 1.0\]\]\] and \[\[\[1.0, 1.0, 1.0, 1.0\]\]\]$" "$(python <<'PY'
import torch
from companion import attention
query, keys, values = torch.full((1, 1, 64), 40.0).half(), torch.full((1, 3, 64), 40.0).half(), torch.ones(1, 3, 4).half()
theirs = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
print(attention.scaled_dot_product(query, keys, values)[0].tolist(), "and", theirs.tolist())
PY
)"
}

begin F11 "captioner.half(), .bfloat16(), .double()" && {
  for type in half bfloat16 double; do
    check "$type" "a caption" "^[a-z]+( [a-z]+)+$" "$(python <<PY
from companion import checkpoints, scenes
print(checkpoints.load("scenes").$type().caption(scenes.image_tensor(scenes.make_dataset("test", 1)))[0].text)
PY
)"
  done
}

# the picture ../0.jpg as NAME.png, with a chunk in front of its pixels
png_with() {
  "$P" - "$1" <<PY
import struct, sys, zlib
import numpy as np
from PIL import Image
def chunk(kind, data, wrong=0):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)
Image.open("../0.jpg").save("plain.png")
plain = open("plain.png", "rb").read()
open(sys.argv[1], "wb").write(plain[:33] + $2 + plain[33:])
PY
}

begin F12 "PNG with 2 MB of text or colour profile" && {
  png_with text.png 'chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2_000_000))'
  png_with profile.png 'chunk(b"iCCP", b"icc\0\0" + zlib.compress(np.random.default_rng(0).bytes(2_000_000)))'
  for name in text profile; do check "$name" "a caption" "^[a-z]+( [a-z]+)+$" "$(companion caption $name.png)"; done
}

begin F12 "PNG, wrong checksum in a text chunk" && {
  png_with text.png 'chunk(b"tEXt", b"Comment\0hello", 1)'
  check "text" "a caption" "^[a-z]+( [a-z]+)+$" "$(companion caption text.png)"
}

begin F14 "two figures of a notebook exchanged" && {
  "$P" - "$project/book/03_dot_product.ipynb" <<'PY'
import sys
import nbformat
notebook = nbformat.read(sys.argv[1], 4)
figures = [o.data for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})]
figures[0]["image/png"], figures[-1]["image/png"] = figures[-1]["image/png"], figures[0]["image/png"]
nbformat.write(notebook, "exchanged.ipynb")
PY
  options="--jaxtyping-packages= --nbval --nbval-current-env -p tools.authoring.nbval_plugin -p no:cacheprovider --color=no"
  # shellcheck disable=SC2086 # they are several words
  check "the page is executed again" "caught" "a figure of .* pixels, committed with .*[1-9] failed" "$(here=$PWD; cd "$project" && "$P" -m pytest -q $options "$here/exchanged.ipynb" 2>&1)"
}

begin F15 "--attention with many or narrow pictures" && {
  for i in 0 1 2; do for j in 0 1 2 3; do cp "../$j.jpg" "$i$j.jpg"; done; done
  companion caption ./*.jpg --attention out.png > /dev/null
  check "12 photographs" "a figure for each, in a folder" "^12 figures$" "$(find out -name '*.png' | wc -l) figures"
  "$P" -c "from PIL import Image; Image.new('RGB', (2, 2000), 'red').save('narrow.png')"
  companion caption narrow.png --attention narrow_out.png > /dev/null
  size=$("$P" -c "from PIL import Image; Image.MAX_IMAGE_PIXELS = None; print(*Image.open('narrow_out.png').size)")
  check "2 x 2,000 pixels" "at most a few thousand pixels a side" "^[0-9]{2,4} [0-9]{2,4}$" "$size"
  check "its figure" "can be opened" "^[a-z]+( [a-z]+)+( \\(unsure\\))?$" "$(companion caption narrow_out.png)"
}

begin F16 "the user's matplotlibrc has text.usetex" && {
  printf 'text.usetex: True\n' > matplotlibrc
  check "--attention" "drawn" "^[a-z]+( [a-z]+)+ drawn$" "$(fresh_companion caption --attention o.png ../0.jpg; [[ -s o.png ]] && echo drawn)"
}

begin F16 "MPLBACKEND of a notebook, no matplotlib-inline" && {
  mkdir hide; cat > hide/sitecustomize.py <<'PY'
import importlib.metadata as metadata, sys  # as where matplotlib-inline is not installed
real = metadata.entry_points
def entry_points(**group):
    found = real(**group)
    return metadata.EntryPoints(e for e in found if "matplotlib_inline" not in e.value) if group.get("group") == "matplotlib.backend" else found
metadata.entry_points = entry_points
sys.modules["matplotlib_inline"] = None
PY
  check "--attention" "drawn" "^[a-z]+( [a-z]+)+ drawn$" "$(export MPLBACKEND=module://matplotlib_inline.backend_inline PYTHONPATH=$PWD/hide:$PYTHONPATH; fresh_companion caption --attention o.png ../0.jpg; [[ -s o.png ]] && echo drawn)"
}

begin F17 "a copy under another name in two splits" && {
  mkdir a; cp ../0.jpg a/a.jpg; cp ../0.jpg a/b.jpg; cp ../1.jpg a/c.jpg
  printf 'image,caption,split\na.jpg,a dog,train\nc.jpg,a cat,train\nb.jpg,a dog,test\n' > a/captions.csv
  check "evaluate" "refused, both named" "^companion: .*a\.jpg.*b\.jpg|^companion: .*b\.jpg.*a\.jpg" "$(evaluate a --split test)"
}

begin F20 "other people's shapes in metrics" && {
  while IFS='|' read -r name given; do
    check "$name" "one line that says what is wanted" "^ValueError: .*wanted" "$(python <<PY
from companion import metrics
try:
    print(metrics.bleu($given))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
PY
)"
  done <<'CASES'
dicts, as pycocoevalcap|{1: ["a dog"]}, {1: ["a dog"]}
token lists, as NLTK|[["a", "dog"]], [[["a", "dog"]]]
NaN, from pandas|["a dog"], [[float("nan")]]
CASES
}

begin F21 "UTF-16, as Excel's Unicode text" && {
  mkdir a; cp ../0.jpg a; printf 'image,caption\n0.jpg,A dog.\n' | iconv -t UTF-16 > a/captions.csv
  check "evaluate" "read, or the encoding is named" "UTF-16|$scores" "$(evaluate a --split train)"
}

begin F22 "a COCO results file, [{image_id, caption}]" && {
  mkdir a; cp ../[01].jpg a; printf 'image,caption,split\n0.jpg,a dog,dev\n1.jpg,a cat,dev\n' > a/captions.csv
  companion caption a --coco out.json > /dev/null
  check "caption --coco" "written" '^\[\{"image_id": "0.jpg", "caption": "[^"]+"\}, \{"image_id": "1.jpg", "caption": "[^"]+"\}\]$' "$(cat out.json)"
  echo '[{"image_id": "1.jpg", "caption": "a cat"}, {"image_id": "0.jpg", "caption": "a dog"}]' > mine.json
  check "evaluate --results" "scored" "bleu1 1.0000" "$(evaluate a --results mine.json)"
}

echo
echo "$cases cases, $((right + wrong + skipped)) checks: $right right, $wrong wrong, $skipped skipped${missing:+ (not installed:$missing)}"
((wrong == 0))
