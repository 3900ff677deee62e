/** The programs that benches compare with. Each says what is missing instead of failing the run. */
import { access, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { output, type Running, start } from './measure.ts';

/** Congestion control of every stream here and of our own sockets. */
export const CONGESTION = 'cubic';

export async function has(program: string): Promise<boolean> {
  return output('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
}

let built: Promise<string> | undefined;

/** Compiles peers/tcp_peer.c once a run. */
export function tcpPeer(): Promise<string> {
  built ??= (async () => {
    const source = await sourceFile('peers/tcp_peer.c');
    const binary = join(tmpdir(), `lustre-tcp-peer-${process.pid}`);
    await output('cc', ['-O3', '-o', binary, source]);
    return binary;
  })();
  return built;
}

/** Files that are not compiled lie in bench/, beside or above the compiled ones. */
export async function sourceFile(name: string): Promise<string> {
  const beside = fileURLToPath(new URL(name, import.meta.url));
  const found = await access(beside).then(
    () => true,
    () => false,
  );
  return found ? beside : fileURLToPath(new URL(`../../bench/${name}`, import.meta.url));
}

/** MB/s of iperf3 over loopback with 1 MiB writes. */
export async function iperf3(port: number, bytes: number): Promise<number> {
  const server = start('iperf3', ['-s', '-1', '-B', '127.0.0.1', '-p', String(port), '--forceflush']);
  try {
    while (!(await server.line()).includes('listening')) {
      // Its banner comes first.
    }
    const text = await output('iperf3', [
      '-c',
      '127.0.0.1',
      '-p',
      String(port),
      '-C',
      CONGESTION,
      '-l',
      '1M',
      '-n',
      String(bytes),
      '-J',
    ]);
    const report = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
    return report.end.sum_received.bits_per_second / 8e6;
  } finally {
    await server.stop('SIGKILL');
  }
}

/** MB/s of the bare C stream: `messages` of 1 MiB through `buffers` buffers a side. */
export async function bareStream(port: number, buffers: number, messages: number): Promise<number> {
  const peer = await tcpPeer();
  const sink = start(peer, ['sink', String(port), String(buffers)]);
  await sink.line();
  const { seconds } = JSON.parse(
    await output(peer, ['stream', String(port), String(buffers), String(messages)]),
  ) as { seconds: number };
  await sink.stop();
  return (messages * 1.048576) / seconds;
}

export interface RoundTrips {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** The bare C ping-pong. */
export async function barePingPong(
  port: number,
  size: number,
  window: number,
  count: number,
): Promise<RoundTrips> {
  const peer = await tcpPeer();
  const echo = start(peer, ['echo', String(port), String(size)]);
  await echo.line();
  const text = await output(peer, ['pingpong', String(port), String(size), String(window), String(count)]);
  const { seconds, p50, p99 } = JSON.parse(text) as { seconds: number; p50: number; p99: number };
  await echo.stop();
  return { perSecond: count / seconds, p50, p99 };
}

/** nginx with PUT (dav) and GET of files in `dir`. */
export async function nginx(dir: string, port: number): Promise<Running> {
  const files = join(dir, 'files');
  await mkdir(files, { recursive: true, mode: 0o777 });
  const config = join(dir, 'nginx.conf');
  await writeFile(
    config,
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log ${dir}/error.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 64; }
http {
  access_log off; sendfile on; tcp_nodelay on; client_max_body_size 0; client_body_temp_path ${dir}/tmp;
  server { listen 127.0.0.1:${port}; location / { root ${files}; dav_methods PUT DELETE; } }
}
`,
  );
  return start('nginx', ['-c', config, '-e', `${dir}/error.log`]);
}

/** nfs-ganesha exporting `dir` over NFSv3/4 on `port`, for libnfs. */
export async function ganesha(dir: string, port: number): Promise<Running> {
  const files = join(dir, 'files');
  await mkdir(files, { recursive: true, mode: 0o777 });
  const config = join(dir, 'ganesha.conf');
  await writeFile(
    config,
    `NFS_CORE_PARAM { NFS_Port = ${port}; MNT_Port = ${port + 1}; Protocols = 4; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryRoot = "${dir}/recovery"; }
EXPORT { Export_Id = 1; Path = "${files}"; Pseudo = "/bench"; Access_Type = RW; Squash = None; SecType = sys, none; Protocols = 4; FSAL { Name = VFS; } }
LOG { Default_Log_Level = CRIT; }
`,
  );
  return start('ganesha.nfsd', [
    '-F',
    '-L',
    join(dir, 'ganesha.log'),
    '-f',
    config,
    '-p',
    join(dir, 'ganesha.pid'),
  ]);
}
