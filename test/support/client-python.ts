// The two SFTP libraries of Python that people script with, each as a small program: it reads what to do as JSON and does it.

const common = `
import json, os, sys
todo = json.loads(sys.stdin.read())
login = todo['login']

def tail(path, at):
    with open(path, 'rb') as file:
        file.seek(at)
        return file.read()
`;

export const paramikoProgram = `${common}
import paramiko, stat
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(login['host'], login['port'], login['user'], key_filename=login['keyFile'],
               look_for_keys=False, allow_agent=False)
sftp = client.open_sftp()

def put_folder(source, target):
    sftp.mkdir(target)
    for entry in os.scandir(source):
        to = target + '/' + entry.name
        put_folder(entry.path, to) if entry.is_dir() else sftp.put(entry.path, to)

def get_folder(source, target):
    os.mkdir(target)
    for entry in sftp.listdir_attr(source):
        there, here = source + '/' + entry.filename, os.path.join(target, entry.filename)
        get_folder(there, here) if stat.S_ISDIR(entry.st_mode) else sftp.get(there, here)

def resume_put(source, target):
    with sftp.open(target, 'ab') as file:
        file.set_pipelined(True)
        file.write(tail(source, sftp.stat(target).st_size))

def resume_get(source, target):
    at = os.path.getsize(target)
    with sftp.open(source, 'rb') as file, open(target, 'ab') as out:
        file.seek(at)
        out.write(file.read())

actions = {
    'put': sftp.put, 'get': sftp.get, 'rename': sftp.rename,
    'resume put': resume_put, 'resume get': resume_get,
    'put folder': put_folder, 'get folder': get_folder,
    'list': lambda at, _: print('\\n'.join(sftp.listdir(at))),
}
for op in todo['ops']:
    actions[op['do']](op['from'], op['to'])
client.close()
`;

export const asyncsshProgram = `import warnings
warnings.simplefilter('ignore')
${common}
import asyncio, asyncssh

async def resume_put(sftp, source, target):
    at = (await sftp.stat(target)).size
    async with sftp.open(target, 'r+b') as file:
        await file.seek(at)
        await file.write(tail(source, at))

async def resume_get(sftp, source, target):
    at = os.path.getsize(target)
    async with sftp.open(source, 'rb') as file:
        await file.seek(at)
        with open(target, 'ab') as out:
            out.write(await file.read())

async def listing(sftp, at, _):
    print('\\n'.join(await sftp.listdir(at)))

actions = {
    'put': lambda sftp, a, b: sftp.put(a, b), 'get': lambda sftp, a, b: sftp.get(a, b),
    'rename': lambda sftp, a, b: sftp.rename(a, b),
    'resume put': resume_put, 'resume get': resume_get,
    'put folder': lambda sftp, a, b: sftp.put(a, b, recurse=True),
    'get folder': lambda sftp, a, b: sftp.get(a, b, recurse=True),
    'list': listing,
}

async def main():
    async with asyncssh.connect(login['host'], login['port'], username=login['user'],
                                client_keys=[login['keyFile']], known_hosts=None) as connection:
        async with connection.start_sftp_client() as sftp:
            for op in todo['ops']:
                await actions[op['do']](sftp, op['from'], op['to'])

asyncio.run(main())
`;
