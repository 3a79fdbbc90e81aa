// Go to anything by name: pages, what the present document names, an id, an entry, a filter.

import { useMemo, useState } from "preact/hooks";
import { at, formatAddress } from "../address/address.ts";
import { goTo } from "../address/router.ts";
import type { Chip } from "../api/documents.ts";
import { address, loaded } from "../state/app.ts";
import { Dialog } from "./dialog.tsx";
import { NAVIGATION } from "./frame.tsx";
import { freeze } from "./freeze.ts";

interface Place {
  words: string;
  hint: string;
  href: string;
  /** What it does, where it leads nowhere. */
  run?: () => void;
}

const MOST = 12;

export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const known = useMemo(knownPlaces, []);
  const named = [...meant(text), ...known.filter((place) => matches(place, text))];
  const found = [...named.slice(0, MOST), ...elsewhere(text)];
  const follow = (place: Place | undefined) => {
    if (place === undefined) return;
    onClose();
    if (place.run === undefined) goTo(place.href);
    else place.run();
  };
  const move = (step: number) =>
    setChosen((chosen + step + found.length) % Math.max(1, found.length));
  return (
    <Dialog label="Go to" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          follow(found[chosen]);
        }}
      >
        <label>
          Go to
          <input
            type="text"
            autofocus
            autocomplete="off"
            spellcheck={false}
            placeholder="A page, a service, a deployment id, an entry's number"
            role="combobox"
            aria-expanded="true"
            aria-controls="palette-list"
            aria-activedescendant={found.length > 0 ? `palette-${chosen}` : undefined}
            onInput={(event) => {
              setText(event.currentTarget.value);
              setChosen(0);
            }}
            onKeyDown={(event) => {
              if (event.key === "ArrowDown" || event.key === "ArrowUp") {
                event.preventDefault();
                move(event.key === "ArrowDown" ? 1 : -1);
              }
            }}
          />
        </label>
        <ul id="palette-list" class="palette" role="listbox" aria-label="Places">
          {found.map((place, i) => (
            <li
              key={place.href + place.words}
              id={`palette-${i}`}
              role="option"
              aria-selected={i === chosen}
              onClick={() => follow(place)}
              onKeyDown={() => {}}
            >
              <span class="clip">{place.words}</span>{" "}
              <span class="calm small clip">{place.hint}</span>
            </li>
          ))}
        </ul>
        {named.length === 0 ? (
          <p class="calm">
            Nothing on this page has that name. Enter shows the list of deployments, filtered by it
            alone.
          </p>
        ) : null}
      </form>
    </Dialog>
  );
}

function matches(place: Place, text: string): boolean {
  const words = text.toLowerCase().split(/\s+/);
  return words.every((word) => place.words.toLowerCase().includes(word));
}

/** Where what this page does not name is looked for: all deployments, in the place of the filter. */
function elsewhere(text: string): Place[] {
  const word = text.trim();
  if (word === "") return [];
  return [
    {
      words: word,
      hint: "filter deployments",
      href: formatAddress({ ...at(address.peek(), "deployments"), filter: word, selected: null }),
    },
  ];
}

/** What the text itself is: an id or an entry. */
function meant(text: string): Place[] {
  const word = text.trim();
  if (word === "") return [];
  const here = address.peek();
  if (/^d-\S+$/.test(word))
    return [{ words: word, hint: "deployment", href: formatAddress(at(here, "deployment", word)) }];
  if (/^\d+$/.test(word))
    return [
      { words: `entry ${word}`, hint: "audit", href: formatAddress(at(here, "entry", word)) },
    ];
  return [];
}

function knownPlaces(): Place[] {
  const here = { ...address.peek(), selected: null };
  const pages = NAVIGATION.map(([page, words]) => ({
    words,
    hint: "page",
    href: formatAddress(at(here, page)),
  }));
  const services = new Map<string, Place>();
  const deployments = new Map<string, Place>();
  for (const chip of chipsIn(loaded.peek()?.document)) {
    deployments.set(chip.id, {
      words: `${chip.service} ${chip.version ?? chip.id}`,
      hint: `${chip.environment} · ${chip.state.replaceAll("_", " ")}`,
      href: formatAddress(at(here, "deployment", chip.id)),
    });
    services.set(chip.service, {
      words: chip.service,
      hint: "service",
      href: formatAddress(at(here, "service", chip.service)),
    });
  }
  const commands = [{ words: "Freeze this view", hint: "f", href: "", run: () => void freeze() }];
  // A service is what most people mean by its name.
  return [...pages, ...commands, ...services.values(), ...deployments.values()];
}

/** Every deployment that a document names, wherever it stands in it. */
function chipsIn(value: unknown, depth = 0): Chip[] {
  if (typeof value !== "object" || value === null || depth > 4) return [];
  if (Array.isArray(value)) return value.slice(0, 200).flatMap((each) => chipsIn(each, depth + 1));
  const chip = value as Partial<Chip>;
  const isChip = chip.id && chip.service && chip.state && chip.environment;
  const mine = isChip ? [value as Chip] : []; // marks of a chart have no environment
  return [...mine, ...Object.values(value).flatMap((each) => chipsIn(each, depth + 1))];
}
