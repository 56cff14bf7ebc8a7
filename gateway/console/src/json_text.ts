// Whether a text is JSON, and where it stops being it.
//
// In: a text. Out: its value, or the position of the first mistake and words on it. Engines word and place
// their own complaints differently, so the place comes from a parser that always knows it.

import { parse, printParseErrorCode, type ParseError } from "jsonc-parser";

export type JsonText =
  | { readonly valid: true; readonly value: unknown }
  | { readonly valid: false; readonly mistake: Mistake };

export interface Mistake {
  /** Where, counted from 0. */
  readonly offset: number;
  /** How many characters are wrong; 0 at the end of the text. */
  readonly length: number;
  /** Where, as people count. */
  readonly line: number;
  readonly column: number;
  readonly words: string;
}

const WORDS: Readonly<Record<string, string>> = {
  InvalidSymbol: "texts and names need double quotes",
  InvalidNumberFormat: "this is no number",
  PropertyNameExpected: "a name in double quotes is missing",
  ValueExpected: "a value is missing",
  ColonExpected: "a colon is missing",
  CommaExpected: "a comma is missing",
  CloseBraceExpected: "} is missing",
  CloseBracketExpected: "] is missing",
  EndOfFileExpected: "there is something behind the end",
  InvalidCommentToken: "JSON has no comments",
  UnexpectedEndOfComment: "JSON has no comments",
  UnexpectedEndOfString: "the closing double quote is missing",
  UnexpectedEndOfNumber: "the number is not finished",
  InvalidUnicode: "\\u needs four hexadecimal digits",
  InvalidEscapeCharacter: "after \\ comes one of \" \\ / b f n r t u",
  InvalidCharacter: "this character must be written as an escape, such as \\n",
};

/** Reads a text. Nothing at all is `null`. */
export function readJson(text: string): JsonText {
  if (text.trim() === "") return { valid: true, value: null };
  const errors: ParseError[] = [];
  parse(text, errors, { disallowComments: true, allowTrailingComma: false });
  const first = errors.reduce<ParseError | undefined>((least, error) => (least && least.offset <= error.offset ? least : error), undefined);
  if (first) return { valid: false, mistake: at(text, first.offset, first.length, WORDS[printParseErrorCode(first.error)] ?? "this is no JSON") };
  try {
    return { valid: true, value: JSON.parse(text) };
  } catch {
    return { valid: false, mistake: at(text, 0, text.length, "this is no JSON") };
  }
}

function at(text: string, offset: number, length: number, words: string): Mistake {
  const before = text.slice(0, offset).split("\n");
  return { offset, length, line: before.length, column: (before.at(-1) ?? "").length + 1, words };
}
