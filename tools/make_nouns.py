"""Make `companion/metrics/nouns.txt`, the nouns that `companion.metrics.nouns` counts, from WordNet: run once.

    python -m tools.make_nouns FOLDER

FOLDER holds data.noun and noun.exc of WordNet 3.0 (Debian's package wordnet-base). A noun is a single word of small
letters that WordNet lists under "physical entity", processes aside, in any of its senses;hout the words below,
which captions mostly use in another sense. They were chosen by reading the 2,200 most frequent candidates in the
captions of Flickr8k and of COCO's val2017.
"""

import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

from companion.files import atomic_write
from companion.metrics.nouns import FILE

COLOURS = """
beige black blond blonde blue brown brunette colored fluorescent fuchsia gold gray green grey khaki lavender lime
maroon neon orange pale pink purple red silver tan teal turquoise violet white yellow
"""
NUMBERS = """
couple double dozen eight first five four nine one pair quad second seven single six ten third three twin two
"""
PLACES_AND_PARTS = """
air area back background base beginning bend bit border bottom boundary bunch case center centre circle closeup color
colors colour colours column corner course cross cut direction distance edge end equipment expanse exterior face
feature figure forefront foreground form formation front gap group head heading here hole home host image inside
interior item junction kind layer left length level line lining location lot lots mark mass match material midair
middle midst number object outdoors outside part parts piece place point portion position possession range rear region
rest right row scene section set setting setup shade shadow shape side sides size somewhere sort source space spot
square stack structure style surface surround surroundings system there thing top type underside unit upper view way
ways whole zone
"""
OTHER_SENSES = """
action active activity advance advert aerial aim ancient angle approach arrangement attack attraction balance bare
basic batting bearing beat behind being bent best bite bleak blossoming blow blowing boarding bound break bright
browse bunt burning bust calm can capture carving cast casting catch cause change character chase chased check chop
classic clear climb climbing close cold coloring come comfort comic compact competition complex construction contact
contemporary contents control cool country cover covering cozy crack crank crossing crying curve cutting dance dark
day decadent deep department descent design dig digs dining dirty display dive doe down downhill draft drag drain draw
dribble drift drink drinking drive drop dry dug dusk east eating eats electric element elevation empty energizer
entire entry escape event exposure expression extra extreme facial facing fairy fake fall falling fancy fat favorite
feed feeding feel feeling fellow female festival fight fill filling finish fit fixing flaming flash flashing flat
flies flip float floating flood floppy flush fly focus folding follow formal forward freshness friend fry game gather
gathering glow glowing go good grab graphic graze grazing great grinding growing growth hanging have heavy height help
hide high hind hit hold holiday hop hug hugging human incline individual jam join jump junk just keep kick kiss
kissing land landing large last launch laying lead leading lean leap lick lie life lift lighting like live load
loading local look loop loose low lower lush lying major making male marking married master may mean medium meeting
melting mess metallic metropolitan milling miniature miss mix mobile modern moment motion move movement must narrow
native natural need nice night north nude official old only open opening opponent opposite outline overcast overhang
overhead overlook pack packing pain parallel party pass passing past peeing peel perfect performance
perpendicular personal pet pick plain play portable possible power practice preparation presentation pretty pro
process professional project pull pumping punch purchase push quick quiet race raise raised rally reach read reading
receive reception reflection religious return ride rise roll romp rough round royal rub rubbing run rustic safety save
season seating see selection self senior sense separate series serve service severe shake shallow share sharp shopping
short shot show signal silly simple sip sit skate skating sleep sleeping slice slide slip small smile smoke smoking
snap snuggling soaking solitary somebody someone something sound south special speed spill splash split sport spray
spread spring squeeze squirt stainless stand standard start state stay steep steer step still stop stopping storage
story straight streaming stretch stroke stuff stunt sucking sunny support swing tackle tag take talk target tasting
tear test text thick throw tidy tip toss tossing touch tour trade transit transport treat trick trim trip turn turning
twilight twist unknown upright upset upside use utility vacation variety vertical vintage wait walk warm wash washing
watch watering waving wear wearing weather weight well west wet wild winning work working works wrapping write
writing yawning young youth
"""
EXCLUDED = {word for words in (COLOURS, NUMBERS, PLACES_AND_PARTS, OTHER_SENSES) for word in words.split()}

LICENCE = """WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved.
This software and database is being provided to you, the LICENSEE, by Princeton University under the following
license. By obtaining, using and/or copying this software and database, you agree that you have read, understood, and
will complyh these terms and conditions.: Permission to use, copy, modify and distribute this software and
database and its documentation for any purpose andhout fee or royalty is hereby granted, provided that you agree
to complyh the following copyright notice and statements, including the disclaimer, and that the same appear on
ALL copies of the software, database and documentation, including modifications that you make for internal use or for
distribution. WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. THIS SOFTWARE AND DATABASE IS
PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES, EXPRESS OR IMPLIED. BY WAY OF
EXAMPLE, BUT NOT LIMITATION, PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES OF MERCHANTABILITY OR FITNESS
FOR ANY PARTICULAR PURPOSE OR THAT THE USE OF THE LICENSED SOFTWARE, DATABASE OR DOCUMENTATION WILL NOT INFRINGE ANY
THIRD PARTY PATENTS, COPYRIGHTS, TRADEMARKS OR OTHER RIGHTS. The name of Princeton University or Princeton may not be
used in advertising or publicity pertaining to distribution of the software and/or database. Title to copyright in
this software, database and any associated documentation shall at all times remainh Princeton University and
LICENSEE agrees to preserve same."""
ABOUT = """Nouns for physical things, a line each: the singular, and its plurals if they are irregular. Selected from
WordNet 3.0 by tools/make_nouns.py, which says how; modified thereby. The licence of WordNet:"""


def read_synsets(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return the words and the hypernyms of every synset, by its offset in the file."""
    synsets = {}
    for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
        if not line.startswith(" "):  # the licence
            fields = line.split("|")[0].split()
            count = int(fields[3], 16)
            pointers = fields[5 + 2 * count :]
            hypernyms = [offset for symbol, offset in zip(pointers[::4], pointers[1::4], strict=False) if "@" in symbol]
            synsets[fields[0]] = (fields[4 : 4 + 2 * count : 2], hypernyms)
    return synsets


def physical_nouns(folder: Path) -> set[str]:
    """Return the single words that name physical entities."""
    synsets = read_synsets(folder)

    @cache
    def is_physical(offset: str) -> bool:
        words, hypernyms = synsets[offset]
        return words[0] != "process" and (words[0] == "physical_entity" or any(map(is_physical, hypernyms)))

    return {
        word
        for offset, (words, _) in synsets.items()
        if is_physical(offset)
        for word in words
        if re.fullmatch("[a-z]{3,}", word)
    }


def main(folder: Path) -> None:
    """Write the list."""
    nouns = physical_nouns(folder) - EXCLUDED
    irregular: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "noun.exc").read_text(encoding="latin-1").splitlines():
        plural, *singulars = line.split()
        for singular in singulars:
            if plural.isalpha() and plural != singular:
                irregular[singular].append(plural)
    lines = [*(f"# {line}" for line in f"{ABOUT}\n{LICENCE}".splitlines())]
    lines += [" ".join([noun, *irregular[noun]]) for noun in sorted(nouns)]
    atomic_write(FILE, ("\n".join(lines) + "\n").encode())
    print(f"{FILE}: {len(nouns):,} nouns, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
