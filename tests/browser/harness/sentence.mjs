// A scenario's name as a sentence, for the reporter.

/** `aCallIsAnswered` as "a call is answered". */
export function sentence(name) {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
