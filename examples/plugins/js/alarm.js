// Classifies messages, and lets people raise an alarm: who is signed in may publish a notification
// (note/…) whose body begins with an alarm word. All other messages are what their topic says.

import { get, keys } from 'postern:host/config@0.1.0';

const refused = (text) => ({ tag: 'refused', val: text });

/** What an MQTT topic's first level says; all else is `other`. */
const CLASSES = {
  im: 'instant',
  note: 'notification',
  status: 'status',
  cmd: 'command',
  link: 'command',
};

/** The alarm words as bytes, from `words` of the plugin's table; read at the first call. */
let words;

function alarmWords() {
  if (words === undefined) {
    const value = get('words') ?? { tag: 'texts', val: ['ALARM'] };
    if (value.tag !== 'texts' || value.val.length === 0) throw 'config `words` must be a list of texts';
    words = value.val.map((word) => new TextEncoder().encode(word));
  }
  return words;
}

const isAlarm = (body) =>
  alarmWords().some((word) => word.length <= body.length && word.every((byte, at) => body[at] === byte));

function judge({ topic, payload, origin, sender, relation }) {
  const [first, ...rest] = topic.split('/');
  const klass = rest.length > 0 && Object.hasOwn(CLASSES, first) ? CLASSES[first] : 'other';
  if (origin === 'client') {
    if (klass === 'instant' && (sender === undefined || relation === 'unrelated'))
      throw refused('this addressee cannot be reached');
    if (klass === 'notification' && (sender === undefined || !isAlarm(payload)))
      throw refused('only alarms may be published on this topic');
    if (klass === 'status' || first === 'link') throw refused('not allowed to publish on this topic');
  }
  // A notification is judged by its body, the others by their topic alone.
  return { class: klass, holds: klass !== 'notification' };
}

/** What every plugin exports (postern:host/plugin). */
export const plugin = {
  describe: () => ({ name: 'alarm-js', version: '0.1.0' }),
  prepare() {
    const unknown = keys('').find((key) => key !== 'words');
    if (unknown !== undefined) throw `config has the unknown key \`${unknown}\``;
    alarmWords();
  },
  selfCheck() {
    const [word] = alarmWords();
    if (!isAlarm(word)) throw 'an alarm word is no alarm';
  },
};

/** The role (postern:classify/classify). */
export const classify = {
  classify(facts) {
    return judge(facts);
  },
};
