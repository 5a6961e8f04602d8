"""The packages that training material comes from: pinned, hashed, and which of their files are taken, by licence.

A package's own statement of each file's licence decides; files under the GPL, under no statement, or with traces of
a shop of textures are not taken.
"""

from __future__ import annotations

from sam_research.materials.sources import Package, Selection


def _each(pattern: str, words: str) -> tuple[str, ...]:
    """Return `pattern` once for each of the words, which takes the place of its braces."""
    return tuple(pattern.format(word) for word in words.split())


_SKY = "usr/share/games/endless-sky/images/"
_ENDLESS_SKY = Package(
    "debian",
    "endless-sky-data",
    "0.9.8-1.2",
    "endless-sky-data_0.9.8-1.2_all.deb",
    69_735_632,
    "e45835e05a11e84bb1a890a0ded390246a53b8318f21a25925aa70fa54f80c13",
    "usr/share/doc/endless-sky-data/copyright",
    (
        Selection(
            "photo",
            (
                *(f"{_SKY}land/*-{name}.jpg" for name in ("sfiera", "striker", "harro", "iridium", "spfld")),
                f"{_SKY}land/lava5*",
            ),
            "CC-BY-SA-4.0",
            "Chris Pickel, Michael Wilso, harro.eu, Iridium Ore, Eric Denni, Michael Zahniser",
        ),
        Selection(
            "photo",
            tuple(f"{_SKY}land/{name}*" for name in ("bwerner", "myrabella", "dmottl", "mfield")),
            "CC-BY-SA-3.0",
            "Berthold Werner, Myrabella, Dmitry A. Mottl, Matthew Field",
        ),
        Selection(
            "photo",
            (f"{_SKY}land/*.jpg", f"{_SKY}scene/loc*.jpg"),
            "public domain",
            "contributors of morguefile.com, NASA, Library of Congress",
            without=(f"{_SKY}land/earthrise*",),
        ),
        Selection(
            "cutout",
            (f"{_SKY}outfit/*.png", f"{_SKY}ship/*.png"),
            "CC-BY-SA-4.0",
            "Michael Zahniser, Maximilian Korber, Iaz Poolar, Matthew Smestad, Nate Graham, Frederick Goy IV",
            without=(f"{_SKY}outfit/harvested*", f"{_SKY}outfit/map*", f"{_SKY}outfit/*photovoltaic*"),
        ),
    ),
)

_LOMIRI = Package(
    "debian",
    "lomiri-wallpapers-16.04",
    "20.04.0-2",
    "lomiri-wallpapers-16.04_20.04.0-2_all.deb",
    15_783_184,
    "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    "usr/share/doc/lomiri-wallpapers-16.04/copyright",
    (
        Selection("photo", ("*/seeding_*",), "CC0-1.0", "Clemens Engelhardt"),
        Selection(
            "photo",
            ("*/Bridge_*", "*/Dragonfly_*", "*/free_*", "*/greentock_*"),
            "CC-BY-SA-4.0",
            "Sander Klootwijk, Bolly, Peter Nerlich",
        ),
        Selection(
            "photo",
            tuple(f"*/{n}_*" for n in ("aitzgorri", "friends", "life", "picosdeeuropa", "Picture", "sunset", "Wine")),
            "CC-BY-4.0",
            "Aitzol Berasategi, Trevor Freespace, Jakub Mede",
        ),
    ),
)

_SKIMAGE = Package(
    "debian",
    "python3-skimage",
    "0.19.3-8",
    "python3-skimage_0.19.3-8_all.deb",
    20_713_608,
    "728d88c3e3440f1f3712de0805dc834d29248ff07e1eec8c0f3da07606f752f9",
    "docstrings of skimage.data, usr/lib/python3/dist-packages/skimage/data/_fetchers.py",
    (
        Selection(
            "photo",
            tuple(f"*/skimage/data/{name}" for name in ("camera.png", "chelsea.png", "coffee.png", "rocket.jpg")),
            "CC0-1.0",
            "Lav Varshney, Stéfan van der Walt, Rachel Michetti, SpaceX",
        ),
        Selection(
            "texture",
            tuple(f"*/skimage/data/{name}.png" for name in ("brick", "grass", "gravel")),
            "CC0-1.0",
            "CC0Textures, linolafett",
        ),
        Selection("photo", ("*/skimage/data/astronaut.png",), "public domain", "NASA"),
    ),
)

_SKLEARN = Package(
    "pypi",
    "scikit-learn",
    "1.5.2",
    "scikit_learn-1.5.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    13_322_034,
    "f8b0ccd4a902836493e026c03256e8b206656f91fbcc4fde28c57a5b752561f1",
    "sklearn/datasets/images/README.txt",
    (Selection("photo", ("sklearn/datasets/images/*.jpg",), "CC-BY-2.0", "danielbuechele, vultilion"),),
)

_CLIP = "usr/share/openclipart/png/"
_OPENCLIPART = Package(
    "debian",
    "openclipart-png",
    "1:0.18+dfsg-19",
    "openclipart-png_0.18+dfsg-19_all.deb",
    130_910_028,
    "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    "usr/share/doc/openclipart-png/copyright",
    (
        Selection(
            "drawing",
            (f"{_CLIP}*.png",),
            "public domain",
            "the contributors of openclipart.org, each named in the picture's .txt file",
            without=tuple(
                f"{_CLIP}{part}*" for part in ("signs_and_symbols", "geography", "computer/icons", "unsorted")
            ),
        ),
    ),
)

_HOME = "usr/share/sweethome3d/furniture/"
_SWEETHOME = Package(
    "debian",
    "sweethome3d-furniture",
    "1.8-1",
    "sweethome3d-furniture_1.8-1_all.deb",
    119_782_356,
    "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
    "usr/share/doc/sweethome3d-furniture/copyright",
    (
        Selection(
            "texture",
            _each(
                f"{_HOME}BlendSwap-CC-0.sh3f/blendswap-cc-0/{{}}",
                "antiqueChair/cherry.jpg bedWithTexture/wood10.jpg bookcase/wood11.jpg "
                "bread/breadD.jpg chair/*.jpg chair2/NY_Chaise_Red.jpg "
                "chairWithCushion/*_COLOR.jpg childHut/image1.jpg couch/Plain001.jpg "
                "couch2/Fabric_011_COLOR.jpg drawersCabinet/*.jpg oakChair/oak.jpg "
                "plantie/ground.jpg rangeHood/Metal009_2K_Color.jpg rock?/rock0?.jpg "
                "speaker2/wood12.jpg tableWithTablecloth/red_checked.jpg tatami/tatami.jpg "
                "televisionCabinet/wood9.jpg",
            ),
            "CC0-1.0",
            "Emmanuel Puybaret and the contributors of BlendSwap",
        ),
        Selection(
            "texture",
            _each(
                f"{_HOME}BlendSwap-CC-BY.sh3f/blendswap-cc-by/{{}}",
                "bedsideTable/Wood1.jpg chairWithCushion/cushion-red.jpg "
                "choppingBoard/Chopping-Board.jpg cornerSofa/Fabric_04.jpg "
                "fountain/white-marble.jpg kitchenChair/Wood_plancks_003_COLOR.jpg "
                "kitchenDrawersCabinet/Worktopt-light.jpg plaidChair/*.jpg "
                "sofa3/dark-brown_leather.jpg table/Tabletop-light.jpg workbench/beech.jpg",
            )
            + _each(
                f"{_HOME}Scopia.sh3f/scopia/{{}}",
                "aquarium/granite.jpg aquarium/pebbles.jpg "
                "bathroom_vanity/marble_public_dom_clair.jpg bonsai-tree/soil.jpg "
                "bowlWithSalad/textureWoodBowl.jpg burlap_sofa/bump_sofa.jpg "
                "captains-bed/woodtexture.jpg chimney/OcherTexture.jpg "
                "clothes-basket/fabric_beige.jpg coffee-table2/*.jpg "
                "com_bath3/toalla_bump.jpg convertible-sofa-BZ-closed/texturefabric.jpg "
                "dining_room/butcherblock_tileable.jpg double_vanity/dark_wood.jpg "
                "ext_chair/tipical.jpg folded_clothes/blue-fabric.jpg hammock/*.jpg "
                "hedgeTextured/hedge-displacement-texture.jpg "
                "jacuzzi/paneling-for-interior.jpg living_lamp/*.jpg "
                "paperTowelHolder/paperTowelSide.jpg parque/*.jpg "
                "rattanArmchair/textureRattan.jpg round-table/oaktexture.jpg "
                "ryokanChair/fabricTexture.jpg sandwichMaker/metalTexture.jpg "
                "silla_teca/teca_tileable.jpg sofa_white_beige/*.jpg "
                "stoneGrillDevice/textureStone.jpg swimming-pool/*.jpg "
                "table-on-trestles/texture-bois.jpg vase1/ceramica_cas.jpg "
                "wooden_office_*/*.jpg",
            ),
            "CC-BY-3.0",
            "the contributors of BlendSwap, Scopia Visual Interfaces Systems",
        ),
        Selection(
            "cutout",
            (f"{_HOME}BlendSwap-CC-0.sh3f/blendswap-cc-0/*.png",),
            "CC0-1.0",
            "Emmanuel Puybaret and the contributors of BlendSwap",
            without=("*.sh3f/*/*/*",),
        ),
        Selection(
            "cutout",
            tuple(f"{_HOME}{name}.sh3f/*/*.png" for name in ("BlendSwap-CC-BY", "Scopia", "KatorLegaz", "Reallusion")),
            "CC-BY-3.0",
            "the contributors of BlendSwap, Scopia, Andrew Kator and Jennifer Legaz, Reallusion",
            without=("*.sh3f/*/*/*",),
        ),
    ),
)

_UFO = "usr/share/games/ufoai/base/0textures.pk3/textures/"
_UFO_AI = Package(
    "debian",
    "ufoai-textures",
    "2.5-2",
    "ufoai-textures_2.5-2_all.deb",
    336_330_508,
    "51c9c6a778249a3fa432c81c8c30ac5675ae5a1e675a33b0ce04545753d3218c",
    "usr/share/doc/ufoai-textures/copyright, which lists each file",
    (
        Selection(
            "texture",
            tuple(f"{_UFO}tex_buildings/{name}.png" for name in ("floor021", "wall023")),
            "CC-BY-3.0",
            "Nate Wright, bart, Ernst Wurdack, Hannes Grobe",
        ),
        Selection(
            "texture",
            (
                *_each(
                    f"{_UFO}tex_buildings/{{}}.png",
                    "concrete024 concrete_slabs0[12] floor_se0[34] ground_dirt1 wall_brick01 "
                    "wall_dirt[1-4] wall_se1[45]",
                ),
                f"{_UFO}tex_buildings_snow/wall00[25].png",
            ),
            "CC-BY-SA-3.0",
            "Nate Wright, Roman Dilo, AGF81, Udit Kulshrestha, Saroman, Octagon, Todd Schaffer",
        ),
        Selection(
            "texture",
            _each(
                f"{_UFO}{{}}.*",
                "tex_buildings/carpet008 tex_buildings/carpet009 tex_buildings/carpet01[0128] "
                "tex_buildings/carpet02[135] tex_buildings/floor005 "
                "tex_buildings/floor_wood01 tex_buildings/metal0[12] tex_buildings/paving001 "
                "tex_buildings/tile0[1-3] tex_material/metall006 tex_material/s_wood00[1-3] "
                "tex_material/wood00[13] tex_nature/desert009 tex_nature/dirt00[23] "
                "tex_nature/jungle00[12] tex_nature/railway tex_nature/rock01[78] "
                "tex_nature/stone001",
            ),
            "public domain",
            "Nate Wright and other contributors of UFO: Alien Invasion",
            without=("*_nm.*", "*_sm.*", "*_gm.*"),
        ),
    ),
)

_RED = "usr/share/games/redeclipse/data/"
_RED_ECLIPSE = Package(
    "debian",
    "redeclipse-data",
    "1.6.0-1",
    "redeclipse-data_1.6.0-1_all.deb",
    862_260_812,
    "ada26453d3100bd61154ce20a699352f0b48bb29f8505f477ebdcb612f71ab42",
    "usr/share/doc/redeclipse-data/copyright",
    (
        Selection(
            "texture",
            tuple(
                f"{_RED}philipk/pk02/{name}_[cs].png"
                for name in ("floor*", "generic*", "panels*", "plates*", "trim_set*", "wall0[4-7]*", "wall_big01?")
            )
            + tuple(f"{_RED}philipk/pk02/{name}_c.png" for name in ("rock01", "sand01")),
            "CC-BY-3.0",
            "Philip Klevestav",
        ),
        Selection(
            "texture",
            tuple(
                f"{_RED}trak/trak4/{name}.*"
                for name in ("brick*", "concrete*", "paint_*", "plaster*", "rust*", "tile*", "wood*")
            ),
            "CC-BY-3.0",
            "Georges Grondin",
            without=("*_[nszgdh].*", "*_nm.*", "*_gloss.*"),
        ),
        Selection(
            "texture",
            tuple(f"{_RED}trak/trak5/{name}.jpg" for name in ("base*", "pipe1?", "tile5?", "ribs*", "pits*")),
            "MIT",
            "Georges Grondin",
            without=("*_[nszgdh].*", "*_nm.*", "*_gloss.*"),
        ),
        Selection(
            "texture",
            _each(
                f"{_RED}torley/{{}}.png",
                "*/16levelstriping */applytofurnituremaybe */cloudyformations "
                "*/clumpedverticalpaint */cyberhandwoven */dangerousnoise */greetingcard "
                "*/gravitycrystals */mottledcrew */pleasantlymundane */posterized "
                "*/presentparch */seuratski */stepintogardens */subtlemarbleveins "
                "*/techgeeksweater */usedtopaint */woodenmotion */canvasbased "
                "*/marbleblankets",
            ),
            "CC-BY-SA-3.0",
            "Torley Linden",
        ),
        Selection(
            "texture",
            _each(
                f"{_RED}unnamed/{{}}.*",
                "darkness_* metal06 stone01-? unnamedmetal0? unnamedtile0? wall01-? wall04",
            ),
            "CC-BY-SA-3.0",
            "Viktor Hahn",
            without=("*_[nszg].*",),
        ),
        Selection(
            "texture",
            (f"{_RED}wicked/*.jpg",),
            "CC-BY-SA-3.0",
            "Jonathan Roels and the Red Eclipse Team",
            without=(
                "*[0-9a-f][nsz].jpg",
                "*brick[nsz].jpg",
                "*/*tile0[0-9]*[nsz].jpg",
                "*/wickedcloud*",
                "*/wickedglass*",
                "*/wickedcrystal*",
                "*/wickedbarrel*",
            ),
        ),
    ),
)

PACKAGES: tuple[Package, ...] = (
    _ENDLESS_SKY,
    _LOMIRI,
    _SKIMAGE,
    _SKLEARN,
    _OPENCLIPART,
    _SWEETHOME,
    _UFO_AI,
    _RED_ECLIPSE,
)
"""All sources, in the order in which they are fetched: about 1.5 GB."""
