# The other end of DKIMPy in dkimpy.go: one line of JSON in, one line out. The
# first line names the keys; every other one is a message to sign or to verify.
import base64
import json
import sys

import dkim

config = json.loads(sys.stdin.readline())
records = {name.lower().encode() + b'.': text.encode() for name, text in config['records'].items()}
canonicalize = (config['header'].encode(), config['body'].encode())


def find(name, timeout=5):
    return records.get(name.lower())


def sign(message):
    fields = b''
    for key in config['keys']:
        fields += dkim.DKIM(message).sign(
            key['selector'].encode(), key['domain'].encode(), key['private'].encode(),
            signature_algorithm=key['algorithm'].encode(), canonicalize=canonicalize)
    return {'message': base64.b64encode(fields + message).decode()}


def verify(message):
    verdicts = []
    signatures = sum(1 for name, _ in dkim.rfc822_parse(message)[0] if name.lower() == b'dkim-signature')
    for i in range(signatures):
        try:
            passed, text = dkim.DKIM(message).verify(idx=i, dnsfunc=find), ''
        except dkim.DKIMException as e:
            passed, text = False, str(e)
        verdicts.append({'Pass': bool(passed), 'Text': text})
    return {'verdicts': verdicts}


print('{}', flush=True)  # ready
for line in sys.stdin:
    question = json.loads(line)
    message = base64.b64decode(question['message'])
    try:
        answer = {'sign': sign, 'verify': verify}[question['do']](message)
    except Exception as e:
        answer = {'error': '%s: %s' % (type(e).__name__, e)}
    print(json.dumps(answer), flush=True)
