"""The vocabulary of the catalogue: sections, types, colours, styles and how they are described.

Plain words of fashion retail. Codes are this shop's own, in the manner of the H&M tables.
"""

from __future__ import annotations

from typing import NamedTuple


class Section(NamedTuple):
    """A section of the shop, and whom it attracts."""

    number: int
    name: str
    index_code: str
    index_name: str
    group_number: int
    group_name: str
    kinds: str  # letters of the type kinds that it sells
    weight: float  # share of the catalogue, relative
    age: float  # age of its typical buyer, years
    age_spread: float


SECTIONS: tuple[Section, ...] = (
    Section(
        15, "Womens Everyday Collection", "A", "Ladieswear", 1, "Ladieswear", "tbda", 13, 42, 18
    ),
    Section(16, "Womens Everyday Basics", "A", "Ladieswear", 1, "Ladieswear", "tb", 7, 40, 20),
    Section(11, "Womens Tailoring", "A", "Ladieswear", 1, "Ladieswear", "tbdo", 5, 44, 13),
    Section(18, "Womens Trend", "A", "Ladieswear", 1, "Ladieswear", "tbds", 5, 27, 9),
    Section(6, "Womens Casual", "A", "Ladieswear", 1, "Ladieswear", "tbo", 5, 38, 16),
    Section(57, "Ladies Denim", "A", "Ladieswear", 1, "Ladieswear", "b", 3, 33, 14),
    Section(19, "Womens Jackets", "A", "Ladieswear", 1, "Ladieswear", "o", 2, 40, 18),
    Section(61, "Womens Lingerie", "B", "Lingeries/Tights", 1, "Ladieswear", "u", 6, 34, 15),
    Section(62, "Womens Nightwear", "B", "Lingeries/Tights", 1, "Ladieswear", "un", 3, 38, 16),
    Section(60, "Womens Swimwear", "C", "Ladies Accessories", 1, "Ladieswear", "w", 4, 30, 12),
    Section(66, "Womens Accessories", "C", "Ladies Accessories", 1, "Ladieswear", "a", 6, 34, 16),
    Section(64, "Womens Shoes", "C", "Ladies Accessories", 1, "Ladieswear", "s", 3, 36, 15),
    Section(53, "Divided Collection", "D", "Divided", 2, "Divided", "tbda", 12, 22, 5),
    Section(51, "Divided Basics", "D", "Divided", 2, "Divided", "tb", 4, 22, 6),
    Section(52, "Divided Accessories", "D", "Divided", 2, "Divided", "as", 3, 21, 5),
    Section(20, "Contemporary Smart", "F", "Menswear", 3, "Menswear", "tbo", 4, 36, 13),
    Section(21, "Contemporary Casual", "F", "Menswear", 3, "Menswear", "tbos", 4, 32, 12),
    Section(26, "Men Underwear", "F", "Menswear", 3, "Menswear", "u", 3, 38, 16),
    Section(77, "Young Girl", "I", "Children Sizes 134-170", 4, "Baby/Children", "tbda", 4, 44, 7),
    Section(76, "Kids Girl", "H", "Children Sizes 92-140", 4, "Baby/Children", "tbda", 4, 37, 6),
    Section(46, "Kids Boy", "H", "Children Sizes 92-140", 4, "Baby/Children", "tbo", 3, 37, 6),
    Section(44, "Baby Essentials", "G", "Baby Sizes 50-98", 4, "Baby/Children", "tbn", 4, 32, 5),
    Section(5, "Ladies Sport", "S", "Sport", 26, "Sport", "tb", 3, 31, 11),
    Section(22, "Men Sport", "S", "Sport", 26, "Sport", "tb", 2, 31, 10),
)


class Kind(NamedTuple):
    """A product type."""

    letter: str
    number: int
    name: str
    group: str
    garment_number: int
    garment: str
    weight: float
    euro: float  # usual price
    season: str  # "": all year, else when it sells
    noun: str  # in a description
    fabric: str  # letter of FABRICS


KINDS: tuple[Kind, ...] = (
    Kind(
        "t",
        255,
        "T-shirt",
        "Garment Upper body",
        1002,
        "Jersey Basic",
        9,
        10,
        "summer",
        "T-shirt",
        "j",
    ),
    Kind(
        "t", 252, "Sweater", "Garment Upper body", 1003, "Knitwear", 9, 25, "winter", "jumper", "k"
    ),
    Kind("t", 254, "Top", "Garment Upper body", 1005, "Jersey Fancy", 5, 14, "", "top", "j"),
    Kind("t", 258, "Blouse", "Garment Upper body", 1010, "Blouses", 5, 22, "", "blouse", "v"),
    Kind("t", 259, "Shirt", "Garment Upper body", 1011, "Shirts", 4, 23, "", "shirt", "v"),
    Kind(
        "t",
        253,
        "Vest top",
        "Garment Upper body",
        1002,
        "Jersey Basic",
        4,
        8,
        "summer",
        "vest top",
        "j",
    ),
    Kind(
        "t",
        308,
        "Hoodie",
        "Garment Upper body",
        1005,
        "Jersey Fancy",
        3,
        25,
        "winter",
        "hoodie",
        "j",
    ),
    Kind(
        "t",
        245,
        "Cardigan",
        "Garment Upper body",
        1003,
        "Knitwear",
        2,
        27,
        "winter",
        "cardigan",
        "k",
    ),
    Kind("b", 272, "Trousers", "Garment Lower body", 1009, "Trousers", 12, 28, "", "trousers", "v"),
    Kind("b", 276, "Jeans", "Garment Lower body", 1016, "Trousers Denim", 5, 33, "", "jeans", "d"),
    Kind("b", 274, "Shorts", "Garment Lower body", 1025, "Shorts", 4, 16, "summer", "shorts", "v"),
    Kind("b", 275, "Skirt", "Garment Lower body", 1012, "Skirts", 3, 21, "spring", "skirt", "v"),
    Kind(
        "b",
        273,
        "Leggings/Tights",
        "Garment Lower body",
        1005,
        "Jersey Fancy",
        3,
        15,
        "",
        "leggings",
        "j",
    ),
    Kind(
        "d",
        265,
        "Dress",
        "Garment Full body",
        1013,
        "Dresses Ladies",
        11,
        29,
        "summer",
        "dress",
        "v",
    ),
    Kind(
        "d",
        267,
        "Jumpsuit/Playsuit",
        "Garment Full body",
        1013,
        "Dresses Ladies",
        1.5,
        31,
        "summer",
        "jumpsuit",
        "v",
    ),
    Kind("o", 262, "Jacket", "Garment Upper body", 1007, "Outdoor", 5, 45, "autumn", "jacket", "o"),
    Kind("o", 263, "Coat", "Garment Upper body", 1007, "Outdoor", 1.5, 70, "winter", "coat", "o"),
    Kind("o", 264, "Blazer", "Garment Upper body", 1008, "Dressed", 2, 42, "autumn", "blazer", "o"),
    Kind("u", 306, "Bra", "Underwear", 1017, "Under-, Nightwear", 4, 16, "", "bra", "m"),
    Kind(
        "u",
        286,
        "Underwear bottom",
        "Underwear",
        1017,
        "Under-, Nightwear",
        4,
        11,
        "",
        "briefs",
        "m",
    ),
    Kind("u", 302, "Socks", "Socks & Tights", 1021, "Socks and Tights", 3, 7, "", "socks", "j"),
    Kind(
        "u",
        304,
        "Underwear Tights",
        "Socks & Tights",
        1021,
        "Socks and Tights",
        1.5,
        9,
        "winter",
        "tights",
        "m",
    ),
    Kind(
        "n",
        297,
        "Pyjama set",
        "Nightwear",
        1017,
        "Under-, Nightwear",
        2,
        23,
        "winter",
        "pyjamas",
        "j",
    ),
    Kind("n", 270, "Garment Set", "Garment Full body", 1005, "Jersey Fancy", 2, 21, "", "set", "j"),
    Kind("w", 298, "Bikini top", "Swimwear", 1018, "Swimwear", 3, 15, "beach", "bikini top", "m"),
    Kind(
        "w",
        59,
        "Swimwear bottom",
        "Swimwear",
        1018,
        "Swimwear",
        3,
        12,
        "beach",
        "bikini bottoms",
        "m",
    ),
    Kind("w", 57, "Swimsuit", "Swimwear", 1018, "Swimwear", 2, 24, "beach", "swimsuit", "m"),
    Kind("s", 94, "Sneakers", "Shoes", 1020, "Shoes", 3, 29, "spring", "trainers", "l"),
    Kind("s", 87, "Boots", "Shoes", 1020, "Shoes", 2, 42, "autumn", "boots", "l"),
    Kind("s", 91, "Sandals", "Shoes", 1020, "Shoes", 2, 24, "beach", "sandals", "l"),
    Kind("a", 66, "Bag", "Accessories", 1019, "Accessories", 3, 22, "", "bag", "l"),
    Kind("a", 75, "Hat/beanie", "Accessories", 1019, "Accessories", 2, 11, "winter", "hat", "k"),
    Kind("a", 70, "Earring", "Accessories", 1019, "Accessories", 2.5, 8, "", "earrings", "g"),
    Kind("a", 80, "Scarf", "Accessories", 1019, "Accessories", 2, 14, "winter", "scarf", "k"),
    Kind(
        "a", 74, "Hair/alice band", "Accessories", 1019, "Accessories", 1.5, 6, "", "hairband", "j"
    ),
    Kind(
        "a",
        81,
        "Sunglasses",
        "Accessories",
        1019,
        "Accessories",
        1.5,
        10,
        "beach",
        "sunglasses",
        "g",
    ),
)

# When demand for a season's types is highest, as a day of the year.
SEASON_PEAKS: dict[str, int] = {
    "spring": 115,
    "summer": 175,
    "beach": 185,
    "autumn": 275,
    "winter": 335,
}

FABRICS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # letter: cheap, usual, fine
    "j": (
        ("thin cotton-blend jersey", "printed jersey"),
        ("soft cotton jersey", "ribbed jersey", "sweatshirt fabric"),
        ("organic Pima cotton", "a lyocell and silk jersey"),
    ),
    "k": (
        ("an acrylic knit", "a fluffy knit"),
        ("a rib-knit cotton blend", "a cable-knit wool blend", "a soft fine knit"),
        ("fine merino wool", "pure cashmere"),
    ),
    "v": (
        ("crinkled polyester", "a simple weave"),
        ("airy woven viscose", "crisp cotton poplin", "a linen blend"),
        ("mulberry silk", "pure linen of heavy quality"),
    ),
    "d": (
        ("thin stretch denim",),
        ("washed cotton denim", "sturdy rigid denim"),
        ("selvedge denim from Japan",),
    ),
    "o": (
        ("padded polyester", "imitation suede"),
        ("a wool blend", "water-repellent twill", "sturdy cotton canvas"),
        ("pure wool felt", "soft leather"),
    ),
    "m": (
        ("stretch microfibre", "simple mesh"),
        ("soft microfibre", "floral lace", "a recycled polyamide"),
        ("silk satin", "fine embroidered tulle"),
    ),
    "l": (
        ("coated fabric", "imitation leather"),
        ("sturdy canvas", "imitation suede with lining"),
        ("grained leather", "vegetable-tanned leather"),
    ),
    "g": (
        ("plastic", "light metal"),
        ("metal with glass stones", "acetate"),
        ("gold-plated sterling silver", "hand-finished brass"),
    ),
}


class Style(NamedTuple):
    """A style: what a taste likes, and the words and patterns that show it."""

    name: str
    adjectives: tuple[str, ...]
    details: tuple[str, ...]
    patterns: tuple[int, ...]  # rows of PATTERNS, the first ones the likelier


STYLES: tuple[Style, ...] = (
    Style(
        "minimal",
        ("Clean-cut", "Plain", "Simple"),
        ("concealed buttons", "straight lines", "a discreet hem", "no visible seams"),
        (0, 2),
    ),
    Style(
        "romantic",
        ("Romantic", "Floaty", "Feminine"),
        ("puff sleeves", "a flounced trim", "small covered buttons", "a smocked waist"),
        (1, 6, 5),
    ),
    Style(
        "sporty",
        ("Sporty", "Athletic", "Functional"),
        ("side stripes", "a drawstring", "fast-drying panels", "a reflective print"),
        (0, 4, 3),
    ),
    Style(
        "classic",
        ("Classic", "Tailored", "Timeless"),
        ("a notch lapel", "pressed creases", "welt pockets", "a fitted waist"),
        (0, 7, 3),
    ),
    Style(
        "street",
        ("Oversized", "Boxy", "Urban"),
        ("dropped shoulders", "a large back print", "cargo pockets", "a raw hem"),
        (4, 0, 8),
    ),
    Style(
        "boho",
        ("Bohemian", "Relaxed", "Tiered"),
        ("tassels", "crocheted inserts", "wide sleeves", "embroidered edges"),
        (1, 6, 9),
    ),
    Style(
        "glamour",
        ("Glamorous", "Glittering", "Party-ready"),
        ("sequins", "a deep neckline", "a high slit", "sparkly stones"),
        (10, 9, 0),
    ),
    Style(
        "utility",
        ("Hard-wearing", "Utility", "Workwear-inspired"),
        ("flap pockets", "contrast seams", "snap fasteners", "adjustable tabs"),
        (0, 8, 2),
    ),
    Style(
        "vintage",
        ("Vintage-inspired", "Retro", "Seventies-style"),
        ("a pointed collar", "flared legs", "bow ties", "a patchwork front"),
        (3, 7, 1),
    ),
    Style(
        "playful",
        ("Cheerful", "Playful", "Colourful"),
        ("appliqués", "pompoms", "a printed motif", "scalloped edges"),
        (4, 11, 1),
    ),
)

PATTERNS: tuple[tuple[int, str], ...] = (
    (1010016, "Solid"),
    (1010001, "All over pattern"),
    (1010010, "Melange"),
    (1010017, "Stripe"),
    (1010008, "Front print"),
    (1010021, "Lace"),
    (1010012, "Embroidery"),
    (1010004, "Check"),
    (1010005, "Colour blocking"),
    (1010009, "Glittering/Metallic"),
    (1010018, "Sequin"),
    (1010011, "Dot"),
)

FITS: tuple[str, ...] = (
    "Regular fit",
    "Loose fit",
    "Slim fit",
    "Relaxed fit with a slightly lower shoulder",
    "Fitted cut",
)


class Colour(NamedTuple):
    """A colour group."""

    number: int
    name: str
    value_number: int
    value_name: str
    master_number: int
    master_name: str
    palette: int  # row of PALETTES
    weight: float


PALETTES: tuple[str, ...] = ("dark", "pale", "natural", "blue", "warm", "bright")

COLOURS: tuple[Colour, ...] = (
    Colour(9, "Black", 4, "Dark", 5, "Black", 0, 21),
    Colour(8, "Dark Grey", 4, "Dark", 12, "Grey", 0, 3),
    Colour(7, "Grey", 2, "Medium Dusty", 12, "Grey", 0, 4),
    Colour(10, "White", 3, "Light", 9, "White", 1, 9),
    Colour(11, "Off White", 1, "Dusty Light", 9, "White", 1, 3),
    Colour(6, "Light Grey", 1, "Dusty Light", 12, "Grey", 1, 2),
    Colour(51, "Light Pink", 1, "Dusty Light", 4, "Pink", 1, 6),
    Colour(13, "Beige", 2, "Medium Dusty", 11, "Beige", 2, 3),
    Colour(12, "Light Beige", 1, "Dusty Light", 11, "Beige", 2, 3),
    Colour(17, "Yellowish Brown", 4, "Dark", 13, "Brown", 2, 2),
    Colour(19, "Greenish Khaki", 4, "Dark", 20, "Khaki green", 2, 3),
    Colour(73, "Dark Blue", 4, "Dark", 2, "Blue", 3, 12),
    Colour(72, "Blue", 2, "Medium Dusty", 2, "Blue", 3, 4),
    Colour(71, "Light Blue", 1, "Dusty Light", 2, "Blue", 3, 3),
    Colour(93, "Dark Green", 4, "Dark", 19, "Green", 3, 2),
    Colour(43, "Dark Red", 4, "Dark", 18, "Red", 4, 3),
    Colour(42, "Red", 5, "Bright", 18, "Red", 4, 3),
    Colour(31, "Light Orange", 1, "Dusty Light", 3, "Orange", 4, 2),
    Colour(22, "Yellow", 5, "Bright", 8, "Yellow", 5, 2),
    Colour(52, "Pink", 5, "Bright", 4, "Pink", 5, 2),
    Colour(81, "Light Turquoise", 5, "Bright", 7, "Turquoise", 5, 1.5),
    Colour(92, "Green", 5, "Bright", 19, "Green", 5, 1.5),
)

# First halves and second halves of product names ("Lima Dress").
NAMES: tuple[str, ...] = (
    "Alba",
    "Amira",
    "Bea",
    "Bonn",
    "Cairo",
    "Cleo",
    "Dana",
    "Dover",
    "Elin",
    "Ezra",
    "Faro",
    "Fia",
    "Gala",
    "Goa",
    "Hedda",
    "Hugo",
    "Ida",
    "Iris",
    "Jade",
    "Juno",
    "Kaya",
    "Kim",
    "Lima",
    "Lux",
    "Maja",
    "Milo",
    "Nina",
    "Noor",
    "Olga",
    "Oslo",
    "Paris",
    "Pia",
    "Quinn",
    "Rio",
    "Rosa",
    "Saga",
    "Sol",
    "Tess",
    "Tove",
    "Uma",
    "Vera",
    "Viggo",
    "Wilma",
    "Yara",
    "Zoe",
    "Zola",
)
