"""Classifies messages, and lets people raise an alarm: who is signed in may publish a notification
(note/...) whose body begins with an alarm word. All other messages are what their topic says."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.classify import Class, ClassifyError_Refused, ClassifyError_Unavailable, Facts
from wit_world.exports.classify import Origin, Verdict
from wit_world.exports.plugin import About
from wit_world.imports import config
from wit_world.imports.types import Relation

# What a topic's first level says; all else is OTHER.
CLASSES = {
    "im": Class.INSTANT,
    "note": Class.NOTIFICATION,
    "status": Class.STATUS,
    "cmd": Class.COMMAND,
    "link": Class.COMMAND,
}

# The alarm words as bytes, from `words` of the plugin's table; read at the first call, because the
# module itself runs when the component is built, where there is no host.
_words: tuple[bytes, ...] = ()


def alarm_words() -> tuple[bytes, ...]:
    global _words
    if not _words:
        value = config.get("words")
        if value is None:
            _words = (b"ALARM",)
        elif isinstance(value, config.Value_Texts) and value.value:
            _words = tuple(word.encode() for word in value.value)
        else:
            raise ValueError("config `words` must be a list of texts")
    return _words


def refused(text: str) -> Err:
    return Err(ClassifyError_Refused(text))


def judge(facts: Facts) -> Verdict:
    first, slash, _ = facts.topic.partition("/")
    message_class = CLASSES.get(first, Class.OTHER) if slash else Class.OTHER
    if facts.origin == Origin.CLIENT:
        nobody = facts.sender is None
        if message_class == Class.INSTANT and (nobody or facts.relation == Relation.UNRELATED):
            raise refused("this addressee cannot be reached")
        if message_class == Class.NOTIFICATION and (nobody or not facts.payload.startswith(alarm_words())):
            raise refused("only alarms may be published on this topic")
        if message_class == Class.STATUS or first == "link":
            raise refused("not allowed to publish on this topic")
    # A notification is judged by its body, the others by their topic alone.
    return Verdict(message_class, None, message_class != Class.NOTIFICATION)


class Plugin(exports.Plugin):
    """What every plugin exports (postern:host/plugin)."""

    def describe(self) -> About:
        return About("alarm-python", "0.1.0")

    def prepare(self) -> None:
        for key in config.keys(""):
            if key != "words":
                raise Err(f"config has the unknown key `{key}`")
        try:
            alarm_words()
        except ValueError as wrong:
            raise Err(str(wrong)) from wrong

    def self_check(self) -> None:
        words = alarm_words()
        if not words[0].startswith(words):
            raise Err("an alarm word is no alarm")


class Classify(exports.Classify):
    """The role (postern:classify/classify)."""

    def classify(self, facts: Facts) -> Verdict:
        try:
            return judge(facts)
        except ValueError as wrong:
            raise Err(ClassifyError_Unavailable(str(wrong))) from wrong
