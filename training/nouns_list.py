"""Makes `nouns.csv` and `abstract_nouns.csv` from WordNet and word frequencies.

    python -m training.nouns_list

gives the same two files again, byte for byte. It needs Debian's `wordnet-base` and the
packages nltk and wordfreq; the shipped product needs none of them.

A word's place in a list is an estimate of how often it is used *for something of that
list*: its frequency × the share of its uses that are nouns × the share of those that mean
something of the list. The shares come from WordNet's sense counts (how often annotators met
each sense in running text). Which meanings belong to a list is told by two tables of WordNet
synsets per list: the nearest labelled ancestor of a sense decides.

The nouns hold the words of `everyday_words.py` besides, which were written by hand: what a child
says of a picture comes first, the other written words stand where their frequency puts them.

Knows nothing of models or of the application.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import wordfreq

from training.everyday_words import CHILD_WORDS, FIRST_WORDS, KNOWN_THINGS
from training.wordnet import load_wordnet

FOLDER = Path(__file__).resolve().parents[1] / "label_lists"

Synset = Any  # nltk has no types
Row = tuple[str, list[str]]  # a class and its aliases

HEADER = ("class", "aliases")
NOUN_COUNT = 4_000
ABSTRACT_NOUN_COUNT = 500

# How many forms a word of each part of speech has: dog, dogs; show, shows, showed, showing.
FORMS = {"n": 2, "v": 4, "a": 1, "r": 1}
# A sense the annotators never met is still met: added to its count, divided by its rank.
PRIOR_COUNT = 2.0
# Below these shares a word is mainly a verb, an adjective or something unseen.
MIN_NOUN_SHARE = 0.2
MIN_KINDS = 6
MIN_MEANING_SHARE = 0.25
# Below this relative frequency the wordfreq list is mostly chance.
MIN_FREQUENCY = 1e-8
# wordfreq guesses a phrase from its words as if they met by chance; its own factor for every
# word boundary it had to infer is 10.
PHRASE_FACTOR = 0.1
# "icecream" is met about a fiftieth as often as "ice cream".
JOINED_FACTOR = 50.0
MAX_ALIASES = 4
# An alias nobody uses helps no one: at least this relative frequency.
MIN_ALIAS_FREQUENCY = 1e-7


def words(text: str) -> frozenset[str]:
    """The words of a table below."""
    return frozenset(text.split())


# Whatever is a kind of one of these can be seen, unless something nearer is hidden.
SEEN = words("""
educational_institution.n.01 animal.n.01 plant.n.02 fungus.n.01 artifact.n.01 food.n.01
food.n.02 beverage.n.01 body_part.n.01 external_body_part.n.01 natural_object.n.01
geological_formation.n.01 body_of_water.n.01 land.n.04 vegetation.n.01 tract.n.01
municipality.n.01 village.n.02 paper.n.01 fabric.n.01 rock.n.02 rock.n.01 earth.n.02 wood.n.01
log.n.01 metallic_element.n.01 alloy.n.01 mineral.n.01 gem.n.02 water.n.01 ice.n.01 snow.n.02
blood.n.01 leather.n.01 fur.n.01 feather.n.01 plastic.n.01 glass.n.01 fiber.n.01 straw.n.01
paint.n.01 waste.n.01 cloud.n.02 precipitation.n.03 storm.n.01 lightning.n.02 rainbow.n.01
fire.n.01 flame.n.01 explosion.n.01 smoke.n.01 sunset.n.02 sunrise.n.02 sunlight.n.01
moonlight.n.01 fog.n.01 flood.n.01 wave.n.01 fog.n.02 athletic_game.n.01 man.n.01 woman.n.01
boy.n.01 girl.n.01 child.n.01 baby.n.01 juvenile.n.01 laborer.n.01 serviceman.n.01
entertainer.n.01 athlete.n.01 clergyman.n.01 religious.n.01 king.n.01 queen.n.02 prince.n.01
princess.n.01 health_professional.n.01 teacher.n.01 servant.n.01 swimmer.n.02 artist.n.01
lawman.n.01 driver.n.01 bride.n.01 knight.n.01 soldier.n.01 warrior.n.01 flag.n.01
newspaper.n.01 photograph.n.01 horseman.n.01 policeman.n.01 mother.n.01 father.n.01
grandparent.n.01 craftsman.n.02 cook.n.01 mechanic.n.01 tailor.n.01 sailor.n.01 pilot.n.01
photographer.n.01 farmer.n.01 firefighter.n.04 hunter.n.01 mythical_being.n.01 hairdresser.n.01
bartender.n.01 waiter.n.01 sky.n.01 volcano.n.01 bubble.n.01 wreath.n.01 book.n.02 painting.n.01
sculpture.n.01
""")
# Regions, gases, tissues, signals, offices: real, but no picture of them is of them.
HIDDEN = words("""
entity.n.01 location.n.01 substance.n.01 part.n.02 part.n.03 person.n.01 unit.n.05 fluid.n.01
drug.n.01 nutrient.n.02 microorganism.n.01 cell.n.02 system.n.01 tissue.n.01 gland.n.01
neural_structure.n.01 reproductive_organ.n.01 tube.n.04 erogenous_zone.n.01 plexus.n.01
landmark.n.04 area.n.03 movie.n.01 publication.n.01 wife.n.01 official.n.01 god.n.01 deity.n.01
spiritual_being.n.01 medium.n.01 web_site.n.01 web_page.n.01 album.n.01 article.n.01
telephone_call.n.01 commissioned_military_officer.n.01 music.n.01 journalism.n.02
establishment.n.05 software.n.01 electronic_database.n.01 electromagnetic_radiation.n.01
universe.n.01 internal_secretion.n.01 elementary_particle.n.01 subatomic_particle.n.01 ion.n.01
atom.n.01 molecule.n.01 diet.n.01 product.n.02 asterism.n.01 constellation.n.02
computer_network.n.01
""")
# The meaning itself says too little to be an answer; its kinds are welcome.
TOO_GENERAL = words("""
artifact.n.01 product.n.02 commodity.n.01 consumer_goods.n.01 merchandise.n.01 equipment.n.01
structure.n.01 facility.n.01 device.n.01 surface.n.01 conveyance.n.03 instrumentality.n.03
creation.n.02 representation.n.02 article.n.02 covering.n.02 way.n.06 line.n.18 sheet.n.06
strip.n.02 area.n.05 opening.n.10 work.n.02 location.n.01 site.n.01 system.n.01 whole.n.02
natural_object.n.01 body_part.n.01 structure.n.04 organism.n.01 material.n.01 base.n.08
output.n.02 invention.n.01 innovation.n.01 patch.n.01 fixture.n.01 implement.n.01 tract.n.01
land.n.04 ground.n.01 world.n.01 universe.n.01 medium.n.01 holding.n.03 copy.n.01 art.n.01
transportation.n.01 component.n.03 shelter.n.01 housing.n.01 establishment.n.04 apparatus.n.01
instrument.n.01 barrier.n.01 obstruction.n.01 supporting_structure.n.01 hardware.n.01
installation.n.04 setup.n.01 layer.n.01 part.n.03 unit.n.03 means.n.02 export.n.01 import.n.01
ware.n.01 gear.n.04 piece.n.01 face.n.03 side.n.05 beginning.n.04 end.n.01 base.n.03
mechanism.n.05 assembly.n.01 module.n.01 receptacle.n.01 sphere.n.05 element.n.05 fundament.n.01
interior.n.01 front.n.01 back.n.03 inside.n.01 outside.n.01 bottom.n.02 top.n.09 attachment.n.01
accessory.n.01 feature.n.01 appearance.n.01 process.n.05 organ.n.01 tissue.n.01 nutriment.n.01
staple.n.01 diet.n.01 fare.n.04 matter.n.03
""")

# Moods, traits, fortunes, ideas.
FELT = words("""
feeling.n.01 trait.n.01 morality.n.01 immorality.n.01 psychological_state.n.01 beauty.n.01
ugliness.n.01 freedom.n.01 disorder.n.01 disorder.n.03 order.n.03 attitude.n.01 motivation.n.01
relationship.n.03 luck.n.02 misfortune.n.01 misfortune.n.02 conflict.n.03 imagination.n.01
imagination.n.02 eternity.n.01 peace.n.01 wealth.n.03 poverty.n.01 silence.n.01 silence.n.02
darkness.n.01 danger.n.01 fame.n.01 wisdom.n.01 virtue.n.01 elegance.n.01 attractiveness.n.01
attractiveness.n.02 strangeness.n.02 mystery.n.01 magic.n.01 dream.n.02 memory.n.01 belief.n.01
desire.n.01 hope.n.02 humor.n.01 wit.n.01 irony.n.01 absurdity.n.02 curiosity.n.01
adventure.n.01 celebration.n.01 victory.n.01 defeat.n.01 failure.n.01 disaster.n.01
catastrophe.n.01 triumph.n.01 betrayal.n.01 revenge.n.01 love.n.02 romance.n.01 power.n.01
glory.n.02 glory.n.01 innocence.n.01 innocence.n.02 youth.n.02 childhood.n.01 old_age.n.01
future.n.01 past.n.01 destiny.n.01 destiny.n.02 fate.n.01 madness.n.02 insanity.n.01
mischief.n.01 comfort.n.01 comfort.n.03 solitude.n.01 isolation.n.01 exhaustion.n.01
fatigue.n.01 hunger.n.01 thirst.n.01 sleep.n.01 drunkenness.n.01 intoxication.n.01 harmony.n.01
harmony.n.03 balance.n.01 purity.n.01 simplicity.n.01 perfection.n.01 nonsense.n.01 secrecy.n.01
privacy.n.01 softness.n.01 strength.n.01 weakness.n.01 fragility.n.01 luxury.n.03 abundance.n.01
scarcity.n.01 justice.n.01 injustice.n.01 equality.n.01 unity.n.01 emptiness.n.01 infinity.n.01
immortality.n.01 mortality.n.01 spirituality.n.01 holiness.n.01 evil.n.01 evil.n.03 good.n.03
gravity.n.03 violence.n.01 cruelty.n.01 rebellion.n.02 revolution.n.02 freedom.n.02
captivity.n.01 security.n.01 grandeur.n.01 splendor.n.01 truth.n.03 falsehood.n.01
illusion.n.01 nightmare.n.02 fantasy.n.01 novelty.n.01 familiarity.n.02 modernity.n.01
antiquity.n.03 decay.n.01 deterioration.n.01 stillness.n.01 speed.n.01
""")
# Bodily states, illnesses, beings, and whatever is no kind of the above.
NOT_FELT = words("""
entity.n.01 pain.n.01 sensation.n.01 motive.n.01 mental_illness.n.01 psychosis.n.01
imaginary_being.n.01 spiritual_being.n.01 physical_condition.n.01 pathological_state.n.01
injury.n.01 mental_disorder.n.01 trial.n.06 legal_power.n.01 rest.n.06 collision.n.01
accident.n.01 harm.n.01 strength.n.03 good.n.01 good.n.02
""")

# Words that the rules let through and a reader would not, with the reason for each group.
EXCLUDED_BY_REASON = {
    # wordfreq does not see capitals: what it counted is mostly a person, a place or a firm.
    "mostly a name": """
        a-line aba adobe adonis airbus ala amazon android andromeda angelica angelique ani
        argus argyle argyll arsenal ascot baba babu bailey barker bartlett bastille belle ben
        bennet benny berg bethel billy blanc bob bobby bologna brad brent britt buster cassie
        cayman champaign charlotte chesterfield chile china chino chuck cisco clapper clarence
        clary clegg clementine cochin coco cole colleen collier collins columbine coney corrie
        costa coulter cox dahl dak dale daphne deb delft dell dickie dirk dixie dobson dodger
        donna dory drake duff emery emmet erica fife fisher fitch fowler frank fuji gage garner
        gemma geneva glen graham granger greenwood griffin guinea hackney hank harper hart
        haven heather hogan hoy hoya huck hulk jack jaeger jasper jay jean jenny jersey jimmy
        jock john joss kali kern khan kirk kraft kris kylie laguna lat lea letterman lister
        liza louvre lucerne lulu mac mace macintosh mack mackintosh macon madras malacca manila
        manus mara marc marcel margate marge marguerite marseille mavis mei merle merlin mike
        miller milo mina mollie molly mulligan murphy mustang nan napa ness nick nova oculus
        ola oreo palmyra parr patten peri peter phoebe pia pollard porta ramona rhea rickey
        ridley roc rouge rowan rudd salvia samara saskatoon savoy sawyer serge shay shire
        sienna sierra silva slater spiegel springer spur stanhope surrey swede tabor tam tammy
        terry timothy toby tom tripoli trump tum turner ulster underwood vale veronica walker
        weaver woodruff
    """,
    # The form is mostly another word: a modal, a past tense, an adverb, an adjective, a short form.
    "mostly another word": """
        ade affluent afghan agua annual aquatic argentine backfire bap bender binary bleu bod
        brit browse buff cache can cant cheat chit choc chum classic climb clone cob compact
        concentrate conserve cope coping cosy counterfeit creep crosse crush cul cur dada darn
        detox dig doc downhill draw drip dun eater edible everlasting extra feed fizz flirt
        floppy fluke fluorescent fore fret frontal gat generic grist hack hag haw herbal hind
        hitch homo hone human hunk imperial jag jak jolly juvenile lame lash lass lingua lotte
        mater maw mend metallic might mine mini minor miss mix mod modernist mow must mute nag
        neb nude old_fashioned orderly ornamental overlap overlapping override pastoral pave
        pectoral pinpoint pique pix plain plat pleaser ply poi poke pop preventive quack ration
        recap religious rep reset roast romantic roost round savory scape scrub selector semi
        sham shim shiv shrink sir sire slack slash smear snap sour sprinkle stainless standby
        starboard sub sweet swell tack tec tech teen tender territorial tether thwart ticking
        till tor tote treat tung uplift upright van vertical vet vino vintage voluntary wag
        waterproof wear wearable whistle_stop why yap young
    """,
    # Things that exist, but that nobody points at in a picture.
    "not a thing one sees": """
        academy access acumen adamant alarm album anatomy anil architecture archive audio axon
        ball_game bandwagon base bastion battleground big_bang bittersweet black_body blank
        blue_chip blue_star bonanza boom boom_town booster boson botany box_office breather
        bureau candida cascade catchment chamber chancery channel chat chromosome circuit
        circuitry conglomerate constraint contraceptive copy cornerstone corrective courtesan
        cover covert crease credence crone crossover cultivar dag data_link decor deer_hunter
        depiction depository deputy derby detonation draft duplicate duplication echelon
        effluent eminence entanglement entrant equaliser equalizer extremity feature
        field_house fieldwork figure finder finisher folate folk_art food_grain footage
        foothold forgery forum gig goody gore ground_cover ground_water guerrilla gun_smoke
        harlot header health_food hiatus highland hobby holder hometown hookup hot_cake hotspot
        iconography ignition improvisation inclusion inga innovation insert interstate
        invitation iva kingpin kitsch lagging landfall landline lead leisure_wear life_form
        lifeline likeness limelight link lisle living_stone load log log_line loophole lowland
        lumen mainland mainstay manifold match mess milling ministry modeling modernism
        modification module monochrome morning_star mount muck municipality narc niche node
        note nutrient obstacle offset organiser outlet overdrive overload paper_white particle
        patch path pathway payload perpendicular phone_line photon pick pipeline plant_life
        plasmid playback playbook plot pollutant portal portfolio poster_child postmodernism
        power_line prat predictor press preventative prey privy prod puke quad quark radio
        rear_end receptor record red_hot reformer refreshment release remake repertory reverse
        rosita rotary saran screening seat sender server shading shag shambles shielding
        shipment short_line shortcut shot singleton sinus solitaire soul_food sound_hole
        spoiler stabilizer stake stigma stint stoppage style_sheet subdivision summer_house
        superstructure surgery surrealist swain tandem teaser tempest tensor threshold tier
        topper track transit transparency transportation traverse trim trunk_line turnout
        upgrade video_recording vitals water_table way_out web weenie white_tail wireless
        womanizer zona
    """,
    # Ideas, but nobody asks them of a picture for fun: words of files, of clinics and of parties.
    "dry or sore abstractions": """
        abandon acceptance accessibility accountability affair affiliation aggressiveness
        ailment alcoholism aneurysm anima anorexia antisemitism armistice arrhythmia assurance
        atheism attachment authority autonomy autopilot bank_account basilica bias bigotry
        blowout bondage bosh breeding bulimia bullion cage cardiomyopathy cartoon choking
        citizenship coaster coma compatibility competitiveness complaint concern conclusion
        confidentiality consensus conservatism control convenience coronary corrosion
        creationism credo creed custody deconstruction default demeanor dementia depression
        derailment despite detention deterioration determinism disapproval displeasure disposal
        disposition dissatisfaction doctrine dynamism dyslexia effectiveness efficacy elan
        encephalopathy epilepsy esprit evasion expectancy extremism fabrication famine fascism
        federalism feminism fermentation fetish fever fibre force forefront fundamentalism gag
        ghost gold good_will goodwill gratification harassment hard_line heart_attack
        homophobia huff humanism hyperactivity hypertension hypothyroidism imagery imaging
        imitation immunodeficiency incarceration incentive initiative insulation insurgency
        insurrection interest intifada ism landslide leaning liberalism libido licence licking
        lust mainstream matter meltdown mental_health mentality militancy militarism mindset
        misogyny misrepresentation mot motivator motive multiculturalism mum nadir naturalism
        neoliberalism obi objectivity opinion outlook partisanship patchwork penchant
        perspective phenomenology physicality populism preference prejudice pretext propensity
        quarantine racism radicalism rape rationality reason recidivism relapse reliability
        reliance relic religiosity republicanism reserve resignation respectability riot
        rioting robustness rotting runaway sake satisfaction scare secularism self sensibility
        shock shutout silver slam slant slavery socialism sovereignty specter spectre spill
        stab standpoint starvation stew stir storm strikeout subjectivity surplus sway takedown
        tendency tenet terror testament throes tie torture tosh trait treasure trove tsunami
        unconsciousness unseen unwillingness upset vacancy vacuum valence velocity verve vice
        view viewpoint volatility waltz wherefore will_power willingness world_view wow wraith
        yen yoga
    """,
    # Not what a visitor, or a class of children, should be answered.
    "coarse or sexual": """
        anus arse arsehole asshole babe backside bimbo bitch bosom brothel butt cadaver cervix
        clit clitoris cock concubine condom crap dick dildo dominatrix douche dung erection
        eunuch excrement faeces fanny feces fetus foetus geezer groin harem hooker hustler loin
        nipple orifice panty pee penis perm piss placenta poon poop prostitute rectum scrotum shit
        shite silver_fox sphincter stalker stripper stud tampon thong turd urethra urine vagina
        vibrator vomit whore
    """,
    # Used to hurt or to degrade a group of people; or its emblem.
    "slurs and hatred": """
        blackface dyke faggot gulag hombre kamikaze mammy mongrel mutt old_boy orphan paddy
        shop_girl signor swastika tomboy white_man
    """,
}
# Words that can be seen and are still no answer to "what is on this photograph?": left out of the
# nouns alone, for some of them are moods or ideas.
NOT_ANSWERS_BY_REASON = {
    # The thing is real, but as the answer to "what is on this photograph?" it says too little.
    "says too little": """
        accelerator aide aisle alcohol alloy aperture apparel applicator arcade armament ascent
        attire backing backroom backstage bale banger basin baton batter beast beater binding block
        blocker blower board bolster brace bracing bracket breaker breast breeder brew broadcaster
        buck buffer bundle burner burr burrow cam canister canvas capsule captive carriageway
        carrier cartridge carving casing caster casting catcher cavity centerpiece chaise changer
        char chassis chrome cladding climber clinic clip coating collider coloring commander
        commuter compartment compress condiment conduit cone connector console contraption converter
        cord cosmetic counter coupler coupling cove covering crank creamer creeper critter crossbar
        cruiser cuff curl cutoff cutout cutter cylinder debris decoration decoy depot detour dial
        disk dispensary dispenser drain drive droppings duct dump duster dwelling earpiece edifice
        electrode embankment emitter emulsion encampment enclosure ensign entrance excavation
        exhaust exit extinguisher extractor facade facsimile fauna feeder female fender fiber
        fighter filament filter filth fire_pit flank flap flatbed flavoring flesh float flooring
        flora fodder foliage forage foundry fowl frame freight fryer galley garb gauge gearing gel
        gill glassware grain grate greenery grey grid grove grub gulf gun_barrel gunner gut hall
        halter handset hardwood harness hatch headliner headquarters hide hitter hole hollow hoop
        hopper horseman hull icon implant inlet inset interceptor invention jammer joint junk keel
        kernel kicker kit knit knob lance land_mass lander landing lap latch launch launcher ledge
        lid lifter lighting limb lining little_finger loader loading lodge loft lookout loop lounge
        lumber machinery male marking mart master mat mate midway mineral miniature minister mobile
        mold motif motorist mound mouthpiece mutant netting nucleus officer orb orbiter ornament
        outfit overlay pad padding page panel partition patty paving peg pellet performer pest pic
        picker pinnacle piping pit pivot plaque plateau plating pore porter post potion predator
        primer print prism probe projectile prong prop puff pulp purifier push_button racer rack
        raiser ramp reaper receiver recess reel refill reflector refuge regalia register repeater
        replica repository retainer ridge rig right_hand rim ripple riser riverside rocker rod
        roller roofing rubbing sac salvage sampler scenery scoop scorer seam seasoning seeker seine
        sensor separator shaft shake shaker shank shifter shooter shrapnel shredder shroud side_arm
        sideline siding sill slab slasher sleeper slider slit slope slot smoker snapshot soil sole
        soloist specimen speck sphere spike spout spray spreader stack stair steamer steel stem
        stitch stopper storefront strand strap streak striker stripe stronghold stuffing stylist
        suite supporter surf swab swatch sweeper sweetener swivel tab tackle talon tamper tangle
        taper terminal terrain tester thrasher throttle timber timer tine toggle toner torrent
        tracker tract transformer transporter trapper trapping trigger trinket trooper trotter
        tubing tuner vane varnish vault vent video vinyl wash waste weaponry weave wedge weld
        wheelhouse whitewater wick winch wiper wiring workhorse wrangler wrap young_man youngster
        youth
    """,
    # Names of ranks, offices and callings that no picture shows, or that describe character.
    "a role that no picture shows": """
        abbot adjutant admiral anesthesiologist apothecary archbishop archdeacon archduke artiste
        bachelorette bard baritone barman base_runner bassist batsman beau bombshell boyfriend brat
        bruiser bullock caddy cantor cardiologist caregiver cartoonist carver cellist center_field
        centurion chaplain chemist cinematographer clergyman cleric comedian commandant commodore
        composer condo confessor constable consulate cornerback corporal cowgirl craftsman cricketer
        curate dame damsel dandy dauphin demonstrator dermatologist diva docker dowager dude
        evangelist falconer farm_worker fielder film_star firebird flanker folk_singer foot_soldier
        forester friar fullback gander geek geisha gent girlfriend goaltender goldilocks governess
        gramps grower guerilla gynecologist gypsy halfback hermit housekeeper humanoid huntress
        huntsman illustrator imp inspector instructor insurgent intern ironman jailer labourer
        lackey lancer lassie left_field linebacker lineman madam madame mademoiselle maestro
        maharaja mamma mariner marshal matriarch matron maverick medic midwife minstrel missionary
        missy mistress movie_star nanny navigator neurologist neurosurgeon obstetrician oncologist
        ophthalmologist organist outfielder pacer padre parson partisan pastor pathologist patriarch
        patrolman pediatrician preacher prelate priestess prospector psychiatrist quarterback
        quartermaster radiologist rancher ranger rapper recruit rector redhead reverend rock_star
        running_back satirist saxophonist sculptor seaman sergeant serviceman sheik shortstop
        skipper slugger songwriter soprano sportsman sprinter starlet stepfather stockman tinker tot
        tribune trucker trumpeter tutor veteran veterinary vicar viceroy vocalist volunteer warden
        whistler widow widower winger wingman
    """,
    # Substances and gases, drugs and poisons that look like any other powder or liquid.
    "known from chemistry": """
        acetate acrylic alum alumina amalgam asbestos barium basalt bauxite beryl beryllium bismuth
        cadmium calcite calcium cannabis castor chipotle chromium cobalt coca dolomite galena
        gallium garnet gelatin ginseng gypsum hemp iridium latex limestone lithium magnesium malt
        manganese marijuana mercury mica molybdenum nickel nylon ore palladium platinum polyester
        polypropylene potassium quartz radium sandstone shale silt sodium soma strontium sump
        thorium titanium tuff tungsten uranium vitamin zinc zircon
    """,
    # Parts of machines and of buildings, and other words of a trade.
    "a specialist's word": """
        accelerometer actuator adapter adaptor air_bag air_base air_gun air_horn airframe airstrip
        alcove alternator ammo ammunition analyzer anode antimony aquifer arboretum archipelago
        armature arroyo artillery atoll axle ball_field barbican bath_water battle_dress bayou
        bedrock belvedere bent_grass bezel bluff bodega body_bag boiler bomb_site bomber boot_camp
        bootstrap brant breakwater breech brickwork brig brush_fire bulkhead bullpen bulwark buzzer
        bypass caldera capacitor capitol carburetor casement cast_iron cataract cathode chancel
        chaparral chronograph churchyard cirque citadel clipper coal_mine commissary compressor
        condenser convent copper_mine cornice corvette cosmos coupe cow_town crab_grass crankshaft
        crew_neck crucible crusher culvert cupola dance_floor dance_hall defibrillator delta derrick
        destroyer detector detonator diesel diode dormer drosophila drywall dugout dynamo emporium
        enamel engine_room escarpment esophagus exoskeleton fascia fiberglass firth fish_meal
        fish_scale flange floodplain flue flume flywheel follicle foreshore fortification
        frame_buffer frieze frigate fulcrum fuselage game_fish game_room gantry garret garrison
        gas_lamp gas_line gasket gear_box gold_leaf grad_school grade_school guildhall gully gun_dog
        gyro hand_brake heat_sink helix helm high_school hoarding home_plate hospice ice_field
        incinerator infield infirmary inhaler injector inverter isle kohl lake_bed land_mine lanyard
        larynx lathe lattice launchpad lavatory law_school lidar light_source lough love_grass
        lyceum madhouse magma magneto magnum main_street mainframe masonry massif medusa membrane
        meniscus mesa mezzanine microprocessor minefield minster moor moraine mud_brick muffler nave
        nozzle oil_well ordnance oscillator outcrop outfield ovary panzer paper_mill parapet
        parkland periscope phytoplankton piling plumbing pole_star polygraph polytechnic portico
        power_grid presbytery preschool presidio priory promontory pueblo pump_house punch_card punt
        raceway radio_station rain_tree reactor rectory refinery regulator resistor resonator
        river_boat rotor rotunda sanatorium sand_fly sander sanitarium scalpel scraper seaboard
        semiconductor seminary septum sheet_metal shoal shunt silencer simulator siphon smoke_screen
        snow_bank solder solenoid sonar space_bar spectrometer spillway spindle spinner splice
        sport_fish spring_water stator stave stent steppe storehouse strait strobe subcontinent
        substation supercharger supercomputer sweet_grass switch_grass synchrotron tap_water tarn
        tea_garden tetra topsoil torpedo tracer transducer transistor transmitter transponder
        trestle truss undercarriage vanadium veneer ventilator ventricle vestibule vicarage
        videotape viewfinder wadi water_bed water_hole water_pipe waterside waveguide weir
        white_horse white_oak wicket wild_horse wing_nut wing_tip wire_grass wolfram wolverine
        wormhole yeast yeshiva zodiac
    """,
    # Old, rare or regional words, or words first met in another sense.
    "rarely said, or said of something else": """
        abalone abdomen abode absinthe acropolis agar agave airline airlock airway alb alder ale
        alfalfa alley_cat althea anise arbor ark armory armoury arras asp aspen aster asylum atlas
        atrium avenue backboard backdoor backdrop backseat bagging ballast ballpark banding barbeque
        barf bass bathhouse batten beach_house bed_linen begum beltway bey biceps biennial bird_dog
        bird_shot bistro black_cat black_duck blackfish blackjack blackwood bladder bling blister
        blockbuster bloodstream blue_sky bluebird bluegrass boardroom bock bodice bola bolo
        bombardier book_bag bootleg booze bot boudoir bough boulevard bowel bower box_spring bracken
        brake bramble bran bream briar brill brim brine bristle brogan broiler brow brunch buggy
        bungee bunk bunker bur burg burlap burnside busby butte butternut cabana cabaret cacao cairn
        calculus calumet calypso cameo cameraman camo campion cannery cannon_ball capote carapace
        carbine carcass carrion catheter causeway cavern cay cellophane cenotaph ceramic cesspool
        chart chateau chevron chicken_hawk chiffon chin_strap choke chopper chou chub chuck_wagon
        chute cirrus cistern clip_art clockwork closeup clout clove clubhouse cocker coliseum
        collard colon comma commando condominium confectionery confessional conflagration cordon
        corona coronal corpse corral cote cowl crag crematorium cubby cue cue_ball cuppa curd cursor
        cyclops dais davenport daw day_lily decaf decal decker deli den diaphragm dickey digit dill
        diner dingle dipper distillery doe dolly dominus dongle doppelganger dorm downpour drapery
        drawstring dreadnought dredge dropper duffel dungeon duplex dust_bag ear_hole eatery eaves
        effigy eft elixir elk embassy emcee entrails epistle esplanade estuary etching eyeball fang
        farina filly firestone firestorm fish_cake flagship flak flathead flax fleece flight_deck
        flood_plain floss flower_head fob folio font forge foyer fresco freshwater frock front_yard
        fry fry_bread fuel_cell fuse fuzz gable gallbladder gallows gar garibaldi garter gateway
        gavel gazette gear_wheel gearbox gelding gentleman georgette gill_net girdle glyph godson
        goldeneye goldmine golem goof grail grapple grassland greenbrier gridiron grit grog
        ground_floor guan guano gulch gum_tree gunnery gunpoint harlequin harrow hash hawthorn hazel
        head_shop hearth hearthstone hemlock hermitage hessian hickory highschool hock hod hog hogg
        homebrew homestead hooch horseback housing huckleberry hydra ice_water idol incline
        incubator indigo inferno infielder inn inner_tube instrumentalist integrator intestine
        jack_pine jailhouse jig jodhpur joker juniper kerb keystone knitwear knockout knoll knuckle
        kosher kremlin laborer lager lally lancet laurel lav left_hand legume levee leviathan ley
        lido ligament linden ling lino linoleum lint liquor loam lobe loch long_sleeve longhorn loo
        love_letter lug lunch_meat luncheon lupin machete magnetite maid maiden main_deck mako
        mandala mandible mandrake manger manor manta marinade marl marrow mash masjid materiel
        matrix maul maxi mead meat_hook merino mesquite midge millet mimosa mince mitre moa mocha
        molasses monolith montage moonshine moonstone moorland moray morello morgue mould mufti
        mug_shot mugshot mullet muscat mush musket muslin mustard_seed mutton myrtle naan
        national_park nectar nematode netball newmarket newsroom nib nickelodeon nog nook nutshell
        nymph ointment optic oracle orang ottoman outboard outerwear outhouse outpost overhang
        pacemaker pager paisley pajama pane pantheon parkway parlor parsonage particle_board
        passageway pate patina peach_pit pecs pelt pelvis penthouse pepper_tree pew pewter
        pharmacist phonograph piazza pika pinkie pinky pinto piper plaid plane_tree plantain
        playhouse plummet plush pod pollack pollock polo ponce ponderosa pontoon poplar potty
        powerhouse precipice primrose pulpit pulsar puncture punter puree pyrite quadrant quay
        quince raglan rain_cloud rain_shower rainfall rainwater rampart rapier rat_snake rayon
        razor_fish red_cedar red_gum rein respirator rhesus ricotta rigging roadhouse roadkill
        roadway rock_salt roe roebuck romaine rood roper rosemary rosette rosewood rostrum roulette
        roux rue ruff rump rusk sable sage sagebrush salon sanctuary sand_trap sandalwood sap saree
        sash satchel savin scarab schoolyard scourge scrabble scuba seawater seltzer senna sesame
        sewage sewerage shad shadow_box shanty shaver sheaf sheath sherry shin shingle showroom
        shuttle side_street signet singlet sinkhole sketch skid skiff slaw slipknot sloop smelter
        snare snatch snowfall sorghum soundtrack soy spa spandex spar spat speakeasy speedway spelt
        spit splicing spore sport_coat sportswear sprayer sputnik stag staple steamship steed steer
        stein stipe stoker stoneware storey stover strongman stubble stylus summer_camp summons
        supper supper_club suture sweet_gum swine tabernacle table_saw tabletop tabloid tail_feather
        tail_fin tailgate takin tamarind tar tar_paper tarmac taro tarot tarsus taste_bud teak teal
        tenement terminus thorax thoroughbred thoroughfare thrift thrips throat ticker tidbit tiller
        timberland time_clock title_page toddy tool_bag torso totem touchscreen trachea tramway
        trawl tread trey triceps triton trolley trouser truck_stop tube_well tuck tucker tulle tun
        tuna_fish turnpike tux tweed tweeter twill twister understudy upholstery urchin valerian
        valet vat vermin vermouth verso viewer viola wahoo waistband warp washroom wastewater
        water_main wether whitefish whiting widget windfall withers wonderland wood_pigeon wood_rat
        woodbine woodcock woof workhouse worksheet workstation wormwood wort wraparound wrapper
        xerox yearling yoke yucca zip
    """,
}


def words_of(groups: dict[str, str]) -> frozenset[str]:
    """All words of a table with reasons."""
    return frozenset(word.replace("_", " ") for group in groups.values() for word in words(group))


EXCLUDED = words_of(EXCLUDED_BY_REASON)
# Names that WordNet gives a thing and that hardly anyone uses, or that mean something else first.
UNUSUAL_ALIASES = words_of(
    {
        "aliases": """
            antechamber back_street bambino base_runner blowup boater brine brittle bronc bulwark
            chicha collation consignment contrivance cordial cornel coronal cosh curbing cyprian
            debris deep-freeze detritus diamante domine duster enchantress entire faller feller
            fosse garret gun_barrel hillock hoarding homburg huntsman instrumentalist jalapeno
            jigger junk kail knoll lading lance leghorn lense ley mammalian manse manufactory
            marjoram maul monastic montage moonshine nickelodeon noggin orang orbiter paseo
            pendent pimento pod poultice prelate pry rails reptilian rime riverside rood
            runabout scrabble seaboard shake sport_coat stays superhighway temptress thespian
            thruway timberland tubing uke waft yearling
        """
    }
)


def joined(name: str) -> str:
    """A name without what spellings differ in: capitals, spaces and hyphens."""
    return re.sub("[ -]", "", name.lower())


@dataclass(frozen=True)
class Meanings:
    """Which senses belong to a list: the nearest labelled ancestor of a sense decides.

    `inside` and `outside` are synset names; where both are equally near, `outside` wins.
    `excluded` are words that are left out whatever they mean.
    """

    inside: frozenset[str]
    outside: frozenset[str]
    too_general: frozenset[str] = frozenset()
    excluded: frozenset[str] = EXCLUDED
    min_share: float = MIN_MEANING_SHARE

    def __contains__(self, synset: Synset) -> bool:
        """Whether a sense belongs to the list."""
        if synset.name() in self.too_general:
            return False
        level = {synset}
        while level:
            names = {ancestor.name() for ancestor in level}
            if names & self.outside:
                return False
            if names & self.inside:
                return True
            level = {parent for ancestor in level for parent in parents(ancestor)}
        return False


@dataclass(frozen=True)
class Entry:
    """A word of a list: its lower-case spelling, its meaning, how often it is used for that."""

    word: str
    synset: Synset
    frequency: float


@dataclass(frozen=True)
class Written:
    """The words of a list that are written by hand, each with its aliases.

    `first` begins the list in this order; `known` is put among the computed words.

    Raises:
        ValueError: a name would mean two classes, be it in two spellings.
    """

    first: dict[str, list[str]]
    known: dict[str, list[str]]

    def __post_init__(self) -> None:
        """Refuse what the list's tests would refuse, with the names."""
        rows = [{joined(n) for n in row} for row in self.rows()]
        twice = [
            name for name, count in Counter(n for row in rows for n in row).items() if count > 1
        ]
        if twice:
            raise ValueError(f"Each of these would mean two classes: {', '.join(twice)}.")

    def rows(self) -> Iterator[list[str]]:
        """Each class with its aliases."""
        for part in (self.first, self.known):
            yield from ([name, *aliases] for name, aliases in part.items())

    @property
    def names(self) -> set[str]:
        """Every class and alias."""
        return {name for row in self.rows() for name in row}


def written(*texts: str) -> dict[str, list[str]]:
    """Classes and their aliases from texts such as "television=tv|telly, radio".

    Raises:
        ValueError: a class stands twice.
    """
    entries = [" ".join(entry.split()) for text in texts for entry in text.split(",")]
    pairs = [entry.partition("=")[::2] for entry in entries]
    rows = {name: aliases.split("|") if aliases else [] for name, aliases in pairs}
    if len(rows) < len(pairs):
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ValueError(f"Written twice: {', '.join(twice)}.")
    return rows


def parents(synset: Synset) -> list[Synset]:
    """What a synset is a kind of or, for the sun and the moon, an instance of."""
    return synset.hypernyms() + synset.instance_hypernyms()


def ancestors(synset: Synset) -> Iterator[Synset]:
    """The kinds a synset belongs to, nearest first."""
    return synset.closure(parents)


def prior(count: int, counts: list[int]) -> float:
    """What is added to a sense's count: less, the more senses are met more often."""
    return PRIOR_COUNT / (1 + sum(other > count for other in counts))


def is_name(spelling: str) -> bool:
    """Whether a lemma is spelt as a proper name; "T-shirt" is not."""
    return spelling != spelling.lower() and not re.match("[A-Z]-[a-z]", spelling)


@cache
def frequency(word: str) -> float:
    """Relative frequency of a word, or of a phrase that is a fixed one; else 0."""
    whole = wordfreq.word_frequency(word, "en", "large", MIN_FREQUENCY)
    boundaries = len(wordfreq.tokenize(word, "en")) - 1
    if boundaries <= 0:
        return whole if whole > MIN_FREQUENCY else 0.0
    joined = wordfreq.word_frequency(word.replace(" ", "").replace("-", ""), "en", "large")
    return min(whole * PHRASE_FACTOR**boundaries, joined * JOINED_FACTOR)


class Lexicon:
    """What WordNet and wordfreq together know of English nouns."""

    def __init__(self) -> None:
        """Open WordNet; the counts are read when they are first asked for."""
        self.wordnet = load_wordnet()

    @cached_property
    def counts(self) -> Counter[str]:
        """How often annotators met each sense; nltk's `count` looks each up in the file."""
        with self.wordnet.open("cntlist.rev") as file:
            rows = (line.split() for line in file)
            return Counter({key: int(count) for key, _, count in rows})

    @cached_property
    def nouns(self) -> list[str]:
        """Every noun of one or two words that is written in letters, in alphabetical order."""
        names = {name.lower() for name in self.wordnet.all_lemma_names("n")}
        spelt = (name.replace("_", " ") for name in names)
        return sorted(
            w for w in spelt if len(w) > 2 and re.fullmatch("([a-z]-)?[a-z]+( [a-z]+)?", w)
        )

    @cached_property
    def words_in_glosses(self) -> Counter[str]:
        """In how many definitions and examples of *other* synsets a word or a pair stands."""
        counts: Counter[str] = Counter()
        for synset in self.wordnet.all_synsets():
            text = re.findall(r"[a-z]+", " ".join([synset.definition(), *synset.examples()]))
            own = {name.lower().replace("_", " ") for name in synset.lemma_names()}
            counts.update((set(text) | {" ".join(pair) for pair in pairwise(text)}) - own)
        return counts

    def is_fixed_phrase(self, phrase: str) -> bool:
        """Whether two words make one noun that people use, and not another spelling of one.

        The dictionary must use it to explain something else, or it must name a kind of what
        its last word says: "ice cream", "school bus", but not "love child" or "service man".
        """
        joined = phrase.replace(" ", "")
        used, used_joined = (
            self.words_in_glosses[form] + self.words_in_glosses[form + "s"]
            for form in (phrase, joined)
        )
        if self.wordnet.synsets(joined, "n") and used_joined >= used:
            return False  # it is written as one word
        first, last = phrase.split(" ")
        synset = self.wordnet.synsets(phrase.replace(" ", "_"), "n")[0]
        is_kind = any(last in parent.lemma_names() for parent in ancestors(synset))
        if synset.lexname() in {"noun.animal", "noun.food", "noun.plant"}:
            return is_kind or used > 0
        return used > 2 or ((is_kind or used > 0) and self.noun_share(first) > 0.5)

    def senses(self, word: str) -> list[tuple[Synset, float, bool]]:
        """A noun's synsets, most frequent first: synset, weight, whether it is a proper name."""
        name = word.replace(" ", "_")
        lemmas = []
        for synset in self.wordnet.synsets(name, "n"):
            spelt = [lemma for lemma in synset.lemmas() if lemma.name().lower() == name]
            # "Moon" and "moon" are one sense: the lower-case spelling speaks for it.
            lemmas += sorted(spelt, key=lambda lemma: is_name(lemma.name()))[:1]
        counts = [self.counts[lemma.key()] for lemma in lemmas]
        return [
            (lemma.synset(), count + prior(count, counts), is_name(lemma.name()))
            for lemma, count in zip(lemmas, counts, strict=True)
        ]

    def noun_share(self, word: str) -> float:
        """The share of a word's uses that are nouns, 0 to 1.

        WordNet counts a sense under its base form; the word itself is one of the base's forms.
        """
        name = word.replace(" ", "_")
        uses = dict.fromkeys(FORMS, 1e-9)
        for pos, forms in FORMS.items():
            bases = {name} if pos == "n" else set(self.wordnet._morphy(name, pos))
            for base in bases:
                counts = [self.counts[lemma.key()] for lemma in self.wordnet.lemmas(base, pos)]
                uses[pos] += sum(count + prior(count, counts) for count in counts) / forms
        return uses["n"] / sum(uses.values())

    def has_kinds(self, synset: Synset) -> bool:
        """Whether a meaning has kinds of its own, as bears have, however often we bear things."""
        return len(synset.hyponyms()) >= MIN_KINDS

    def is_base_form(self, word: str) -> bool:
        """Whether a noun is not another noun's plural, or is hardly used in the singular."""
        last = word.split(" ")[-1]
        bases = {base for base in self.wordnet._morphy(last, "n") if base != last}
        return all(frequency(base) < 0.1 * frequency(last) for base in bases)

    def entries(self, meanings: Meanings) -> Iterator[Entry]:
        """Every noun that is used for one of these meanings."""
        for word in self.nouns:
            used = frequency(word)
            if used == 0.0 or word in meanings.excluded or not self.is_base_form(word):
                continue
            if " " in word and not self.is_fixed_phrase(word):
                continue
            senses = self.senses(word)
            noun_share = self.noun_share(word)
            names = sum(weight for _, weight, proper in senses if proper)
            fitting = [s for s, _, proper in senses if not proper and s in meanings]
            if not fitting or (noun_share < MIN_NOUN_SHARE and not self.has_kinds(fitting[0])):
                continue
            weights = {synset: weight for synset, weight, _ in senses}
            fit = sum(weights[synset] for synset in fitting)
            share = fit / sum(weights.values())
            is_first = senses[0][0] in fitting
            if fit >= names / 2 and (is_first or share >= meanings.min_share):
                yield Entry(word, fitting[0], used * noun_share * share)

    def most_used(self, meanings: Meanings, count: int, taken: set[str]) -> list[Entry]:
        """The `count` words most used for these meanings, each in its most used spelling.

        Left out is whatever is in `taken`, however it is spelt: "lightbulb" and "light bulb".
        """
        chosen: dict[str, Entry] = {}
        spelt = {joined(name) for name in taken}
        for entry in sorted(self.entries(meanings), key=lambda e: (-e.frequency, e.word)):
            if joined(entry.word) not in spelt and not any(
                is_respelling(entry.word, lemma.name().replace("_", " "))
                for synset, _, _ in self.senses(entry.word)
                for lemma in synset.lemmas()
                if (other := chosen.get(lemma.name().replace("_", " ")))
                and synset in (entry.synset, other.synset)
            ):
                chosen[entry.word] = entry
            if len(chosen) == count:
                return list(chosen.values())
        raise ValueError(f"Only {len(chosen)} words fit; {count} are asked for.")

    def noun_frequency(self, word: str) -> float:
        """How often a word is used as a noun, whatever it means; for words written by hand."""
        is_noun = bool(self.wordnet.synsets(word.replace(" ", "_"), "n"))
        return frequency(word) * (self.noun_share(word.lower()) if is_noun else 1.0)

    def aliases(self, entry: Entry, not_these: set[str]) -> list[str]:
        """Other words that mostly mean the same thing, most used first."""
        spelt = {joined(name) for name in not_these}
        names = {lemma.name().replace("_", " ") for lemma in entry.synset.lemmas()}
        known = {
            name: frequency(name)
            for name in names - EXCLUDED - UNUSUAL_ALIASES
            if name == name.lower()
            and joined(name) not in spelt
            and frequency(name) >= MIN_ALIAS_FREQUENCY
            and self.senses(name)[0][0] == entry.synset
        }
        return sorted(known, key=lambda name: (-known[name], name))[:MAX_ALIASES]


def is_respelling(word: str, other: str) -> bool:
    """Whether two names of one thing are one word: "theatre" and "theater"."""
    if word.replace(" ", "") == other.replace(" ", ""):
        return True
    return SequenceMatcher(None, word, other).ratio() >= 0.8 and word[0] == other[0]


def write_list(path: Path, rows: list[Row]) -> None:
    """A label list: UTF-8, a class a line, its aliases separated by `|`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows((word, "|".join(aliases)) for word, aliases in rows)


LISTS = {
    "nouns": (
        Meanings(SEEN, HIDDEN, TOO_GENERAL, EXCLUDED | words_of(NOT_ANSWERS_BY_REASON)),
        NOUN_COUNT,
        Written(written(FIRST_WORDS, *CHILD_WORDS.values()), written(*KNOWN_THINGS.values())),
    ),
    "abstract_nouns": (
        Meanings(FELT, NOT_FELT, min_share=0.5),
        ABSTRACT_NOUN_COUNT,
        Written({}, {}),
    ),
}


def rows_of(meanings: Meanings, count: int, by_hand: Written, lexicon: Lexicon) -> list[Row]:
    """The classes of a list and their aliases: the first words, then by frequency."""
    still = count - len(by_hand.first) - len(by_hand.known)
    entries = lexicon.most_used(meanings, still, by_hand.names)
    taken = by_hand.names | {entry.word for entry in entries}
    rows: list[tuple[float, Row]] = []
    for entry in entries:
        aliases = lexicon.aliases(entry, taken)
        taken.update(aliases)
        rows.append((entry.frequency, (entry.word, aliases)))
    rows += [(lexicon.noun_frequency(row[0]), row) for row in by_hand.known.items()]
    rows.sort(key=lambda row: -row[0])
    return [*by_hand.first.items(), *(row for _, row in rows)]


def build(folder: Path, lexicon: Lexicon) -> None:
    """Write every list of `LISTS` into a folder."""
    for name, (meanings, count, by_hand) in LISTS.items():
        write_list(folder / f"{name}.csv", rows_of(meanings, count, by_hand, lexicon))


if __name__ == "__main__":
    build(FOLDER, Lexicon())
