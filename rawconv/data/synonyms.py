"""Names that lists of ImageNet's classes give to one and the same class, by its number in WordNet.

Files without WordNet numbers, as the shipped net of photographs, know their classes by one of these
alone.  They are the words of WordNet's own entries (Princeton WordNet 3.0), of the classes of that
net whose names differ from list to list.
"""

from __future__ import annotations

NAMES = {
    "n02058221": ("albatross", "mollymawk"),
    "n02106662": ("German shepherd", "German shepherd dog", "German police dog", "Alsatian"),
    "n02123045": ("tabby", "tabby cat"),
    "n02125311": ("cougar", "puma", "mountain lion", "catamount"),
    "n02165456": ("ladybug", "ladybird", "ladybeetle", "lady beetle"),
    "n02279972": ("monarch", "monarch butterfly", "milkweed butterfly"),
    "n02364673": ("guinea pig", "Cavia cobaya"),
    "n02395406": ("hog", "pig", "grunter", "squealer", "Sus scrofa"),
    "n02437312": ("Arabian camel", "dromedary", "Camelus dromedarius"),
    "n02480495": ("orangutan", "orang", "orangutang", "Pongo pygmaeus"),
    "n02481823": ("chimpanzee", "chimp", "Pan troglodytes"),
    "n02509815": ("lesser panda", "red panda", "bear cat", "cat bear", "Ailurus fulgens"),
    "n02814860": ("beacon", "lighthouse", "beacon light", "pharos"),
    "n02917067": ("bullet train", "bullet"),
    "n03977966": ("police van", "police wagon", "paddy wagon", "patrol wagon", "black Maria"),
    "n09428293": ("seashore", "coast", "seacoast", "sea-coast"),
}
NUMBER_OF = {name.casefold(): wnid for wnid, names in NAMES.items() for name in names}
