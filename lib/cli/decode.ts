/** `lustre decode`: a packet capture as a conversation between Lustre nodes. */
import { Command, InvalidArgumentError } from 'commander';
import type { Unit } from './decode/conversation.ts';

interface Options {
  verbose?: boolean;
  json?: boolean;
  account?: boolean;
  port: number[];
}

/** Text is handed to the operating system in pieces of about this size. */
const PIECE = 64 << 10;

/** Collects lines and writes them; waits where the reader is slow, and ends quietly where it went away. */
class LineWriter {
  private text = '';

  add(line: string): void {
    this.text += `${line}\n`;
  }

  get full(): boolean {
    return this.text.length >= PIECE;
  }

  async flush(): Promise<void> {
    const { text } = this;
    this.text = '';
    if (text === '') return;
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
    });
  }
}

export function decodeCommand(): Command {
  return new Command('decode')
    .description('print a packet capture (pcap, pcapng) as a conversation: LNet over TCP and RoCE')
    .argument('<file>', 'the capture')
    .option('-v, --verbose', 'every field of every message')
    .option('--json', 'one JSON object a line')
    .option('--account', 'what every payload byte was, at the end')
    .option('--port <n>', 'a port of LNet beside 988 (repeatable)', parsePort, [])
    .addHelpText(
      'after',
      `
Each line: time, who to whom, kind, target or service, operation with its intent or reint, FIDs and names, XID,
transno, status, bytes, time since the request.

Examples:
  tcpdump -i any -s 0 -w lustre.pcap port 988
  lustre decode lustre.pcap
  lustre decode --json -v lustre.pcap | jq 'select(.status < 0)'`,
    )
    .action(decodeFile);
}

function parsePort(text: string, before: number[]): number[] {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new InvalidArgumentError('Not a port.');
  return [...before, port];
}

async function decodeFile(file: string, options: Options): Promise<void> {
  // Loaded here: no other command needs the decoder.
  const [{ decodeCapture }, { readCapture }, { fieldLines, isDetail, unitLine, unitObject }] =
    await Promise.all([
      import('./decode/decode-capture.ts'),
      import('./decode/pcap.ts'),
      import('./decode/print.ts'),
    ]);
  const writer = new LineWriter();
  const verbose = options.verbose === true;
  const show = (unit: Unit): void => {
    if (isDetail(unit) && !verbose && unit.problems.length === 0) return;
    if (options.json === true) {
      writer.add(JSON.stringify(unitObject(unit, verbose)));
      return;
    }
    writer.add(unitLine(unit));
    if (verbose) for (const line of fieldLines(unit)) writer.add(line);
  };
  const frames = flushing(readCapture(file), writer);
  try {
    const ledger = await decodeCapture(frames, show, { ports: options.port });
    if (options.account === true) {
      if (options.json === true) writer.add(JSON.stringify({ account: ledger.toJSON() }));
      else for (const line of ['', ...ledger.lines()]) writer.add(line);
    }
    await writer.flush();
  } catch (error) {
    // What came before the damage is shown.
    if ((error as { code?: unknown }).code === 'EPIPE') return;
    await writer.flush();
    throw error;
  }
}

/** Passes items on; between them lets a full writer write. */
async function* flushing<T>(items: AsyncIterable<T>, writer: LineWriter): AsyncGenerator<T> {
  for await (const item of items) {
    if (writer.full) await writer.flush();
    yield item;
  }
}
