// Classifies messages, and lets people raise an alarm: who is signed in may publish a notification
// (note/…) whose body begins with an alarm word. All other messages are what their topic says.
//
// What a function is given belongs to it, so it frees it; what it answers the host frees
// (classify_plugin.h, made from the WIT by wit-bindgen, has a function for either).

#include "classify_plugin.h"

#include <stdlib.h>
#include <string.h>

typedef exports_postern_classify_classify_facts_t facts_t;
typedef exports_postern_classify_classify_verdict_t verdict_t;
typedef exports_postern_classify_classify_classify_error_t error_t;

enum message_class {
  NOTIFICATION = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASS_NOTIFICATION,
  STATUS = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASS_STATUS,
  INSTANT = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASS_INSTANT,
  COMMAND = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASS_COMMAND,
  OTHER = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASS_OTHER,
};

// The alarm words, from `words` of the plugin's table; read at the first call and kept.
static classify_plugin_list_string_t words;
static const char *const NO_WORDS = "config `words` must be a list of texts";

// Whether there are words to judge by.
static bool read_words(void) {
  if (words.len > 0) return true;
  classify_plugin_string_t key;
  classify_plugin_string_set(&key, "words");
  postern_host_config_value_t value;
  if (!postern_host_config_get(&key, &value)) {
    words.ptr = calloc(1, sizeof *words.ptr);
    if (words.ptr == NULL) abort();
    classify_plugin_string_dup(words.ptr, "ALARM");
    words.len = 1;
    return true;
  }
  if (value.tag == POSTERN_HOST_CONFIG_VALUE_TEXTS && value.val.texts.len > 0) {
    words = value.val.texts; // ours now: not freed
    return true;
  }
  postern_host_config_value_free(&value);
  return false;
}

static bool begins_with(const uint8_t *bytes, size_t len, const void *with, size_t with_len) {
  return len >= with_len && memcmp(bytes, with, with_len) == 0;
}

static bool is_alarm(const uint8_t *body, size_t len) {
  for (size_t i = 0; i < words.len; i++)
    if (begins_with(body, len, words.ptr[i].ptr, words.ptr[i].len)) return true;
  return false;
}

// What a topic's first level says; all else is OTHER.
static enum message_class class_of(const classify_plugin_string_t *topic) {
  static const struct {
    const char *prefix;
    enum message_class class_;
  } classes[] = {
      {"im/", INSTANT}, {"note/", NOTIFICATION}, {"status/", STATUS}, {"cmd/", COMMAND}, {"link/", COMMAND},
  };
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (begins_with(topic->ptr, topic->len, classes[i].prefix, strlen(classes[i].prefix)))
      return classes[i].class_;
  return OTHER;
}

// Why a client may not send this; NULL when it may.
static const char *refusal(const facts_t *facts, enum message_class class_) {
  if (facts->origin != EXPORTS_POSTERN_CLASSIFY_CLASSIFY_ORIGIN_CLIENT) return NULL;
  const bool nobody = !facts->sender.is_some;
  if (class_ == INSTANT && (nobody || facts->relation == POSTERN_HOST_TYPES_RELATION_UNRELATED))
    return "this addressee cannot be reached";
  if (class_ == NOTIFICATION && (nobody || !is_alarm(facts->payload.ptr, facts->payload.len)))
    return "only alarms may be published on this topic";
  if (class_ == STATUS || begins_with(facts->topic.ptr, facts->topic.len, "link/", 5))
    return "not allowed to publish on this topic";
  return NULL;
}

// The role (postern:classify/classify). True: the verdict is set; false: the error.
bool exports_postern_classify_classify_classify(facts_t *facts, verdict_t *verdict, error_t *error) {
  const enum message_class class_ = class_of(&facts->topic);
  const bool readable = read_words();
  const char *why = readable ? refusal(facts, class_) : NULL;
  exports_postern_classify_classify_facts_free(facts);
  if (!readable) {
    error->tag = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASSIFY_ERROR_UNAVAILABLE;
    classify_plugin_string_dup(&error->val.unavailable, NO_WORDS);
    return false;
  }
  if (why != NULL) {
    error->tag = EXPORTS_POSTERN_CLASSIFY_CLASSIFY_CLASSIFY_ERROR_REFUSED;
    classify_plugin_string_dup(&error->val.refused, why);
    return false;
  }
  // A notification is judged by its body, the others by their topic alone.
  *verdict = (verdict_t){.class_ = (uint8_t)class_, .holds = class_ != NOTIFICATION};
  return true;
}

// What every plugin exports (postern:host/plugin).

void exports_postern_host_plugin_describe(exports_postern_host_plugin_about_t *about) {
  classify_plugin_string_dup(&about->name, "alarm-c");
  classify_plugin_string_dup(&about->version, "0.1.0");
}

bool exports_postern_host_plugin_prepare(classify_plugin_string_t *error) {
  classify_plugin_string_t top;
  classify_plugin_string_set(&top, "");
  classify_plugin_list_string_t keys;
  postern_host_config_keys(&top, &keys);
  bool known = true;
  for (size_t i = 0; i < keys.len; i++)
    known = known && keys.ptr[i].len == 5 && memcmp(keys.ptr[i].ptr, "words", 5) == 0;
  classify_plugin_list_string_free(&keys);
  if (!known) {
    classify_plugin_string_dup(error, "config has an unknown key: there is `words` alone");
    return false;
  }
  if (!read_words()) {
    classify_plugin_string_dup(error, NO_WORDS);
    return false;
  }
  return true;
}

bool exports_postern_host_plugin_self_check(classify_plugin_string_t *error) {
  if (read_words() && is_alarm(words.ptr[0].ptr, words.ptr[0].len)) return true;
  classify_plugin_string_dup(error, "an alarm word is no alarm");
  return false;
}
